# Weir. `make` builds, `make run` shows it, `make test` proves it; `make help` lists the rest.
# B is the build directory, SAN a list of sanitizers, CI makes warnings errors.

B       ?= build
CC      ?= gcc
PREFIX  ?= /usr/local
PORT    ?= 8080
DATA    ?= $(or $(WEIR_DATA),var)
VERSION := 0.1.0
FUZZ_SECONDS ?= 60
# The distribution's Python, whose venv module is installed below; another one may come first in PATH.
PYTHON  ?= $(firstword $(wildcard /usr/bin/python3) python3)

# Everything that build, run, tests and bench need from Debian or Ubuntu; the one list.
APT_BUILD := gcc libc6-dev make pkg-config libcurl4-openssl-dev libjson-c-dev libsqlite3-dev libjwt-dev libsodium-dev \
             libssl-dev libzstd-dev zlib1g-dev
APT_RUN   := $(APT_BUILD) lighttpd curl ca-certificates
APT_TEST  := $(APT_RUN) libcmocka-dev python3 python3-venv sqlite3 openssl clang chromium fonts-dejavu-core
APT_BENCH := $(APT_RUN) python3

PKGS     := libcurl json-c sqlite3 libsodium libzstd libjwt libcrypto zlib
PKG_CPP  := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
WARN     := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
OPT      ?= $(if $(SAN),-O1,-O2) -g
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' $(PKG_CPP)
CFLAGS   += -std=c11 $(WARN) $(OPT) -fstack-protector-strong -fno-strict-aliasing -pthread $(if $(SAN),,$(if $(CI),-Werror))
LDLIBS   += $(PKG_LIBS) -lm
# Our json_string must not stand in for the one that libjwt calls (jansson's).
LDFLAGS  += -Wl,--exclude-libs,ALL
ifdef SAN
CFLAGS   += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SAN)
else
CPPFLAGS += -D_FORTIFY_SOURCE=2
LDFLAGS  += -Wl,-z,relro,-z,now
endif

ROOMS     := fcgi/base fcgi/door sql fcgi/provider fcgi/stage
LIB_SRC   := $(foreach d,$(ROOMS),$(wildcard $(d)/*.c))
FCGI_SRC  := $(wildcard fcgi/*.c)
# The two administrators' programs share all but where they start and their faces: pages and JSON, or commands.
WEB_SRC   := $(wildcard admin/web_*.c admin/page*.c admin/api_*.c)
CLI_SRC   := admin/main.c $(wildcard admin/cmd_*.c)
ADMIN_SRC := $(filter-out $(WEB_SRC) $(CLI_SRC),$(wildcard admin/*.c))
UNIT      := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
TSAN_UNIT := test_writer test_store
GEN_H     := $(B)/gen/sql_ids.h $(B)/gen/cache_ids.h
GEN_O     := $(patsubst %,$(B)/obj/gen/%.o,sql_gateway sql_cache migrations cache_migrations)
VENV      := build/venv
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

# Jobs for the makes below, unless the one above was told how many.
JOBS ?= $(shell nproc)
SUB   = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

.PHONY: all programs run test asan tsan fuzz bench lint install dist clean help \
        need-build need-run need-test need-bench fault-library unit-programs fuzz-programs bench-programs venv
all: need-build ## build the programs (the default)
	+@$(SUB) programs
programs: $(B)/weir.fcgi $(B)/weir-admin.fcgi $(B)/weir
	@:

# ---- what must be installed -------------------------------------------------------------------------------
# $(call need,LIST): installs what is missing when root, otherwise prints the one line to run.
define need
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" != 0 ]; then echo "missing packages; run:"; echo "  sudo apt-get install --no-install-recommends$$missing"; exit 1; fi; \
	echo "installing:$$missing"; mkdir -p $(B); \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >$(B)/apt.log 2>&1 \
	  || { cat $(B)/apt.log; exit 1; }
endef
need-build: ; $(call need,$(APT_BUILD))
need-run:   ; $(call need,$(APT_RUN))
need-bench: ; $(call need,$(APT_BENCH))
# The libraries of clang's sanitizers and fuzzer are a package named after its version.
need-test:
	$(call need,$(APT_TEST))
	$(call need,libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev)

# ---- building ---------------------------------------------------------------------------------------------
SQL_GATEWAY := sql/gateway.sql
SQL_ADMIN   := sql/gateway.sql sql/admin.sql
SCHEMA      := $(sort $(wildcard sql/schema/*.sql))
CACHE_SCHEMA := $(sort $(wildcard sql/cache_schema/*.sql))
$(B)/gen/sql_ids.h: $(SQL_ADMIN) sql/generate.awk
	@mkdir -p $(@D); awk -v out=ids -f sql/generate.awk $(SQL_ADMIN) > $@
$(B)/gen/sql_gateway.c: $(SQL_GATEWAY) sql/generate.awk
	@mkdir -p $(@D); awk -v out=list -v name=gateway -f sql/generate.awk $(SQL_GATEWAY) > $@
$(B)/gen/sql_admin.c: $(SQL_ADMIN) sql/generate.awk
	@mkdir -p $(@D); awk -v out=list -v name=admin -f sql/generate.awk $(SQL_ADMIN) > $@
$(B)/gen/cache_ids.h: sql/cache.sql sql/generate.awk
	@mkdir -p $(@D); awk -v out=ids -v name=cache -f sql/generate.awk $< > $@
$(B)/gen/sql_cache.c: sql/cache.sql sql/generate.awk
	@mkdir -p $(@D); awk -v out=list -v name=cache -f sql/generate.awk $< > $@
# The directory too: a file that went or was renamed counts.
$(B)/gen/migrations.c: $(SCHEMA) sql/schema sql/embed.awk
	@mkdir -p $(@D); awk -v table=migrations -f sql/embed.awk $(SCHEMA) > $@.new && mv $@.new $@
$(B)/gen/cache_migrations.c: $(CACHE_SCHEMA) sql/embed.awk
	@mkdir -p $(@D); awk -v table=cache_migrations -f sql/embed.awk $(CACHE_SCHEMA) > $@

COMPILE = @mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP
LINK    = @echo "ld $@"; $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/obj/gen/%.o: $(B)/gen/%.c $(GEN_H)
	$(COMPILE) -c -o $@ $<
$(B)/obj/%.o: %.c $(GEN_H)
	$(COMPILE) -c -o $@ $<
$(B)/libweir.a: $(call obj,$(LIB_SRC)) $(GEN_O)
	@rm -f $@; ar rcs $@ $^
$(B)/weir.fcgi: $(call obj,$(FCGI_SRC)) $(B)/libweir.a
	$(LINK)
$(B)/libweir-admin.a: $(call obj,$(ADMIN_SRC)) $(B)/obj/gen/sql_admin.o
	@rm -f $@; ar rcs $@ $^
$(B)/weir-admin.fcgi: $(call obj,$(WEB_SRC)) $(B)/libweir-admin.a $(B)/libweir.a
	$(LINK)
$(B)/weir: $(call obj,$(CLI_SRC)) $(B)/libweir-admin.a $(B)/libweir.a
	$(LINK)

# A unit test includes the .c it tests; the library gives the rest. Files of fcgi/ and admin/ are not in the library:
# a test of one includes it too, or names more objects here.
$(B)/unit/%: tests/unit/%.c $(B)/obj/gen/sql_admin.o $(B)/libweir.a $(GEN_H)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(B)/obj/gen/sql_admin.o $(B)/libweir.a $(LDLIBS) -lcmocka
# So does a fuzz target. CC is clang here, and the library is built for it (`make fuzz`).
$(B)/fuzz/%: tests/fuzz/%.c $(B)/libweir-admin.a $(B)/libweir.a $(GEN_H)
	$(COMPILE) -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(B)/libweir-admin.a $(B)/libweir.a $(LDLIBS)
$(B)/bench/load: tests/bench/load.c tests/bench/reply.c tests/bench/reply.h
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c,$^)
$(B)/bench/upstream: tests/bench/upstream.c
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<
$(B)/bench/authenticate: tests/bench/authenticate_bench.c $(B)/obj/gen/sql_admin.o $(B)/libweir.a $(GEN_H)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(B)/obj/gen/sql_admin.o $(B)/libweir.a $(LDLIBS)
unit-programs: $(UNIT)
	@:
fuzz-programs: $(FUZZ)
	@:
$(B)/bench/autocheckpoint.so: tests/bench/autocheckpoint.c
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -o $@ $<
$(B)/bench/translate: tests/bench/translate_bench.c $(B)/libweir.a $(GEN_H)
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libweir.a $(LDLIBS)
$(B)/bench/cache: tests/bench/cache_bench.c $(B)/libweir.a $(GEN_H)
	$(COMPILE) $(LDFLAGS) -o $@ $< $(B)/libweir.a $(LDLIBS)
bench-programs: $(B)/bench/load $(B)/bench/upstream $(B)/bench/authenticate $(B)/bench/translate $(B)/bench/cache $(B)/bench/autocheckpoint.so
	@:
# Not of SAN: it is preloaded before a sanitizer starts.
$(B)/fault/inject.so: tests/fault/inject.c
	@mkdir -p $(@D); echo "cc $<"; $(CC) -std=gnu11 $(filter-out -Wmissing-prototypes,$(WARN)) -O2 -fPIC -shared -o $@ $<
fault-library: $(B)/fault/inject.so
	@:

-include $(shell find $(B)/obj $(B)/unit $(B)/fuzz -name '*.d' 2>/dev/null)

$(VENV)/ready: tests/requirements.txt
	@mkdir -p $(@D); $(PYTHON) -m venv --clear $(VENV) && $(VENV)/bin/python -m pip install -q --disable-pip-version-check -r $< && touch $@
venv: $(VENV)/ready
	@:

# ---- running and proving ----------------------------------------------------------------------------------
run: need-run ## build, then lighttpd in the foreground on http://127.0.0.1:$(PORT) with the built-in mock provider
	+@$(SUB) B=build programs
	@PORT=$(PORT) WEIR_DATA="$(DATA)" exec sh tests/run.sh

test: need-test ## every suite that fits CI; the last line is `N passed, N failed`
	+@$(SUB) programs fault-library unit-programs venv
	+@$(SUB) B=$(B)-asan SAN=address,undefined unit-programs
	+@$(SUB) B=$(B)-fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-programs
	@B=$(B) PYTHON=$(VENV)/bin/python sh tests/all.sh lint unit unit-asan fuzz demo flow fault

asan: need-test ## unit, flow and fault suites under AddressSanitizer, with leaks, and UBSan
	+@$(SUB) B=$(B)-asan SAN=address,undefined programs fault-library unit-programs venv
	@B=$(B) PYTHON=$(VENV)/bin/python sh tests/all.sh unit-asan flow-asan fault-asan

tsan: need-test ## the threaded unit tests and the flow suite under ThreadSanitizer
	+@$(SUB) B=$(B)-tsan SAN=thread programs $(TSAN_UNIT:%=$(B)-tsan/unit/%) venv
	@B=$(B) PYTHON=$(VENV)/bin/python sh tests/all.sh unit-tsan flow-tsan

fuzz: need-test ## each fuzz target for FUZZ_SECONDS (60)
	+@$(SUB) B=$(B)-fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-programs
	@B=$(B) FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/all.sh fuzz

bench: need-bench ## what Weir costs beside lighttpd's own mod_proxy; BENCH=ledger: that group; BENCH="--quick" ...
	+@$(SUB) programs bench-programs
	@WEIR_BUILD=$(B) $(PYTHON) tests/bench/run.py $(BENCH)
	@$(if $(filter ledger limits growth tail wal processes cache routes,$(BENCH)),:,$(B)/bench/authenticate && $(B)/bench/translate)

lint: need-build $(GEN_H) ## the rules of style that a script can see
	@B=$(B) sh tests/lint.sh

# ---- giving away ------------------------------------------------------------------------------------------
install: all ## into $(DESTDIR)$(PREFIX)
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/weir" "$(DESTDIR)$(PREFIX)/share/weir/www" "$(DESTDIR)$(PREFIX)/share/doc/weir"
	install -m 755 $(B)/weir "$(DESTDIR)$(PREFIX)/bin/weir"
	install -m 755 $(B)/weir.fcgi "$(DESTDIR)$(PREFIX)/lib/weir/weir.fcgi"
	install -m 755 $(B)/weir-admin.fcgi "$(DESTDIR)$(PREFIX)/lib/weir/weir-admin.fcgi"
	install -m 644 www/* "$(DESTDIR)$(PREFIX)/share/weir/www/"
	install -m 644 README.md CHANGELOG.md LICENSE lighttpd.conf tests/flow/mount.conf "$(DESTDIR)$(PREFIX)/share/doc/weir/"

dist: ## dist/weir-VERSION.tar.gz of what is committed
	@mkdir -p dist; git archive --prefix=weir-$(VERSION)/ -o dist/weir-$(VERSION).tar.gz HEAD; ls -l dist/weir-$(VERSION).tar.gz

clean: ## remove what was built; the data in $(DATA) stays
	rm -rf $(B) $(B)-asan $(B)-tsan $(B)-fuzz dist

help: ## this list
	@sed -n 's/^\([a-z]*\):.* ## \(.*\)/make \1\t\2/p' Makefile | sed -e 's|$$(PORT)|$(PORT)|' -e 's|$$(DATA)|$(DATA)|' | expand -t 14
