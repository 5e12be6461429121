# Weir. `make` builds, `make run` shows it, `make test` proves it; `make help` lists the rest.
# B is the build directory, SAN a list of sanitizers (make asan and make tsan set both).

B       ?= build
CC      ?= gcc
PREFIX  ?= /usr/local
VERSION := 0.1.0
PORT    ?= 8080

PKGS     := libcurl json-c sqlite3 libsodium
# Everything that build, run and tests need from Debian; the one list.
APT_BUILD := gcc make pkg-config libfcgi-dev libcurl4-openssl-dev libjson-c-dev libsqlite3-dev libjwt-dev libsodium-dev
APT_RUN   := $(APT_BUILD) lighttpd curl ca-certificates
APT_TEST  := $(APT_RUN) libcmocka-dev python3 python3-venv sqlite3 clang libclang-rt-14-dev
APT_BENCH := $(APT_RUN) python3

WARN   := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
OPT    ?= -O2 -g
CPPFLAGS += -I. -I$(B)/gen -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS += -std=c11 $(WARN) $(OPT) -fstack-protector-strong -fno-strict-aliasing -pthread $(if $(CI),-Werror)
LDLIBS += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lfcgi -lm
ifdef SAN
CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SAN)
else
CPPFLAGS += -D_FORTIFY_SOURCE=2
LDFLAGS += -Wl,-z,relro,-z,now
endif

ROOMS := fcgi/base fcgi/door sql fcgi/provider fcgi/stage
LIB_SRC   := $(foreach d,$(ROOMS),$(wildcard $(d)/*.c))
FCGI_SRC  := $(wildcard fcgi/*.c)
ADMIN_SRC := $(wildcard admin/*.c)
UNIT_SRC  := $(wildcard tests/unit/test_*.c)
FUZZ_SRC  := $(wildcard tests/fuzz/fuzz_*.c)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

GEN_H := $(B)/gen/sql_ids.h
GEN_O := $(B)/obj/gen/sql_gateway.o $(B)/obj/gen/migrations.o

.PHONY: all run test unit flow asan tsan fuzz bench lint install dist clean help need-build need-run need-test need-bench
all: need-build
	@$(MAKE) --no-print-directory programs
.PHONY: programs
programs: $(B)/weir.fcgi $(B)/weir

# ---- what must be installed -------------------------------------------------------------------------------
# $(call need,LIST): installs what is missing when root, otherwise prints the one line to run.
define need
	@missing=""; for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then echo "installing:$$missing"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >/tmp/weir-apt.log 2>&1 || { cat /tmp/weir-apt.log; exit 1; }; \
	  else echo "missing packages; run:"; echo "  sudo apt-get install --no-install-recommends$$missing"; exit 1; fi; fi
endef
need-build: ; $(call need,$(APT_BUILD))
need-run:   ; $(call need,$(APT_RUN))
need-test:  ; $(call need,$(APT_TEST))
need-bench: ; $(call need,$(APT_BENCH))

# ---- building ---------------------------------------------------------------------------------------------
SQL_GATEWAY := sql/gateway.sql
SQL_ADMIN   := sql/gateway.sql sql/admin.sql
$(B)/gen/sql_ids.h: $(SQL_ADMIN) sql/generate.awk
	@mkdir -p $(@D); awk -v out=ids -f sql/generate.awk $(SQL_ADMIN) > $@
$(B)/gen/sql_gateway.c: $(SQL_GATEWAY) sql/generate.awk
	@mkdir -p $(@D); awk -v out=list -v name=gateway -f sql/generate.awk $(SQL_GATEWAY) > $@
$(B)/gen/sql_admin.c: $(SQL_ADMIN) sql/generate.awk
	@mkdir -p $(@D); awk -v out=list -v name=admin -f sql/generate.awk $(SQL_ADMIN) > $@
$(B)/gen/migrations.c: $(sort $(wildcard sql/schema/*.sql)) sql/embed.awk
	@mkdir -p $(@D); awk -f sql/embed.awk $(sort $(wildcard sql/schema/*.sql)) > $@

$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D); $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/obj/%.o: %.c $(GEN_H)
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libweir.a: $(call obj,$(LIB_SRC)) $(GEN_O)
	@rm -f $@; ar rcs $@ $^
$(B)/weir.fcgi: $(call obj,$(FCGI_SRC)) $(B)/libweir.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/weir: $(call obj,$(ADMIN_SRC)) $(B)/obj/gen/sql_admin.o $(B)/libweir.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# A unit test includes the .c it tests; the library gives the rest. Files of fcgi/ and admin/ are not in the library:
# a test of one includes it too, or names more objects here.
$(B)/unit/%: tests/unit/%.c $(B)/libweir.a $(B)/obj/gen/sql_admin.o $(GEN_H)
	@mkdir -p $(@D); echo "cc $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) -o $@ $< $(B)/obj/gen/sql_admin.o $(B)/libweir.a $(LDLIBS) -lcmocka
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- proving ----------------------------------------------------------------------------------------------
VENV := $(B)/venv
$(VENV)/ready: tests/requirements.txt
	@python3 -m venv $(VENV) && $(VENV)/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt && touch $@

test: need-test
	@$(MAKE) --no-print-directory $(B)/weir $(UNIT) $(VENV)/ready
	@WEIR_BUILD=$(B) UNIT="$(UNIT)" PYTHON=$(VENV)/bin/python sh tests/all.sh
