#!/bin/sh
# What `make run` does when all is built: a data directory with the mock provider, a client key that is kept, lighttpd in
# the foreground. From the repository root; PORT and WEIR_DATA (var) come from the environment.
port=${PORT:-8080} data=${WEIR_DATA:-var} weir=build/weir
url=http://127.0.0.1:$port
key_file=$data/demo.key
umask 077

fail() { echo "make run: $*" >&2; exit 1; }
ask() { curl -s --noproxy '*' -m 5 "$@"; }

case $PWD in *[[:space:]]*) fail "lighttpd cannot start programs below a path with blanks: $PWD";; esac
ask -o /dev/null "$url/"
[ $? = 7 ] || fail "port $port is taken: something answers at $url; take another with: make run PORT=8081"

password_file=$data/admin.password # the first one, which the page asks to change; init prints it only where it makes it
first=$("$weir" --data "$data" init --mock) || exit 1
[ -z "$first" ] || { echo "  $first" >&2; echo "$first" >"$password_file"; }

# ---- the key `demo`; where it was revoked, `demo-2` and so on ----
key_state() { "$weir" --data "$data" key list --json | sed -n "s/.*\"name\": \"$1\",.*\"state\": \"\([a-z]*\)\".*/\1/p"; }
new_key() {
    name=demo n=1
    while state=$(key_state "$name"); [ "$state" = revoked ] || [ "$state" = expired ]; do n=$((n + 1)) name=demo-$n; done
    if [ -z "$state" ]; then set -- create --name "$name" --user demo; else set -- rotate "$name"; fi
    "$weir" --data "$data" key "$@" >"$key_file.new" && mv "$key_file.new" "$key_file" || fail "no client key could be made"
}
[ -s "$key_file" ] || new_key

# ---- lighttpd; a session of its own, so that ctrl-C reaches only this script, which ends it in order ----
PORT=$port WEIR_DATA=$data setsid lighttpd -D -f lighttpd.conf &
web=$!
stop() { # waits for Weir too, which lets requests in flight end
    trap '' INT TERM HUP
    below=$(cat "/proc/$web/task/$web/children" 2>/dev/null)
    kill "$web" 2>/dev/null
    wait "$web"
    for p in $below; do while kill -0 "$p" 2>/dev/null; do sleep 0.1; done; done
    exit "$1"
}
trap 'stop 0' INT TERM HUP
tries=0
until ask -f -o /dev/null "$url/health"; do
    kill -0 "$web" 2>/dev/null || fail "lighttpd did not start; it says why above"
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { kill "$web"; fail "no answer from $url/health in 10 seconds; the reason may stand above"; }
    sleep 0.1
done
# A key that was rotated by hand, or a database that was replaced: the kept secret is of no use.
if [ "$(ask -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $(cat "$key_file")" "$url/v1/models")" = 401 ]; then new_key; fi
key=$(cat "$key_file")

cat <<TEXT

Weir answers at    $url/v1
client key         $key
                   (kept in $key_file)

  curl $url/v1/chat/completions -H 'Authorization: Bearer $key' -H 'Content-Type: application/json' -d '{"model":"mock","messages":[{"role":"user","content":"Hello"}]}'

  from openai import OpenAI
  client = OpenAI(base_url="$url/v1", api_key="$key")
  print(client.chat.completions.create(model="mock", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)

Administration     $url/admin
name               admin
first password     $([ -s "$password_file" ] && cat "$password_file" || echo "given once by weir init; a new one: build/weir --data $data admin password admin")
                   (to be changed at the first log-in; after that, the one that was chosen)

Who asked what:    build/weir --data $data audit
Stop:              ctrl-C

TEXT
wait "$web"
stop 1
