#!/bin/sh
# A new user's walk through every feature there is: each step shows its command and what came of it, and is checked.
# Makes a data directory of its own and starts its own lighttpd on a free port; leaves nothing behind. Needs the built
# programs, lighttpd and curl; no network, no key of anybody's. From anywhere: sh tests/demo.sh
cd "$(dirname "$0")/.." || exit 1
umask 077
B=${B:-build}
case $B in /*) ;; *) B=$PWD/$B;; esac
DIR=$(mktemp -d /tmp/weir-demo-XXXXXX) || exit 1
export WEIR_DATA="$DIR/var"
out=$DIR/out
exec 3>&1
port= key= web= steps=0
unset OPENAI_API_KEY ANTHROPIC_API_KEY GROQ_API_KEY AZURE_OPENAI_API_KEY GEMINI_API_KEY OLLAMA_HOST http_proxy https_proxy

cleanup() {
    for p in $web; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
    rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# ---- how a step is told, run and checked ----
# Shows a command as one would type it.
shown() {
    line='   $'
    for word in "$@"; do
        case $word in
        'Authorization: '*) word="\"$word\"" ;;
        *[!A-Za-z0-9_./:=,@+-]* | '') word="'$word'" ;;
        esac
        line="$line $word"
    done
    printf '%s\n' "$line" | plain >&3
}
plain() { sed -e "s|$DIR/||g" -e "s|http://127.0.0.1:$port|\$URL|g" -e 's|Bearer sk-weir-[A-Za-z0-9_-]*|Bearer $KEY|g' -e 's|Bearer eyJ[A-Za-z0-9_.-]*|Bearer $TOKEN|g' -e 's|sk-weir-[A-Za-z0-9_-]*|sk-weir-...|g'; }
weir() { shown weir "$@"; "$B/weir" "$@"; }
# ask PATH [CURL OPTIONS]: a request with the key.
ask() {
    path=$1; shift
    shown curl "$url$path" -H "Authorization: Bearer $key" "$@"
    curl -sSN -m 30 --noproxy '*' -w '\nHTTP status %{http_code}\n' "$url$path" -H "Authorization: Bearer $key" "$@"
}
# fetch PATH: a request without a key.
fetch() { shown curl "$url$1"; curl -sS -m 30 --noproxy '*' -w '\nHTTP status %{http_code}\n' "$url$1"; }
# post PATH JSON [CURL OPTIONS], chat MODEL [MORE MEMBERS [CURL OPTIONS]]
post() { path=$1 json=$2; shift 2; ask "$path" -H 'Content-Type: application/json' -d "$json" "$@"; }
chat() {
    model=$1 more=${2:-}; shift; [ $# = 0 ] || shift
    post /v1/chat/completions "{\"model\":\"$model\",\"messages\":[{\"role\":\"user\",\"content\":\"What is a weir?\"}]$more}" "$@"
}
# step TITLE COMMAND...: runs it; what it wrote is in $out and shown, cut to fit.
step() {
    steps=$((steps + 1))
    printf '\n%s. %s\n' "$steps" "$1"
    shift
    "$@" >"$out" 2>&1; status=$?
    grep -v '^[[:space:]]*$' "$out" | plain | awk '
        { line[NR] = length($0) <= 140 ? $0 : /^(data: )?\{"/ ? substr($0, 1, 45) " ... " substr($0, length($0) - 89) : substr($0, 1, 180) }
        END { for (i = 1; i <= NR; i++) { if (NR > 12 && i == 7) { print "     ..."; i = NR - 3 } else print "     " line[i] } }'
}
wrong() { echo; echo "demo: step $steps went wrong: $*"; [ -f "$DIR/web.log" ] && tail -20 "$DIR/web.log"; exit 1; }
ends() { [ "$status" = "$1" ] || wrong "exit status $status, not $1"; }
shows() { for text in "$@"; do grep -qF -- "$text" "$out" || wrong "it does not show: $text"; done; }
hides() { ! grep -qF -- "$1" "$out" || wrong "it shows: $1"; }
mode() { [ "$(stat -c %a "$1")" = "$2" ] || wrong "$1 has mode $(stat -c %a "$1"), not $2"; }

[ -x "$B/weir" ] && [ -x "$B/weir.fcgi" ] || { echo "demo: not built yet; run make"; exit 1; }

echo "A walk through Weir."

step 'A data directory: master key, database, and the built-in mock provider' weir init --mock
ends 0; mode "$WEIR_DATA" 700; mode "$WEIR_DATA/master.key" 600; mode "$WEIR_DATA/weir.db" 600

step 'A second time changes nothing' weir init --mock
ends 0; shows 'is there'

step 'A key for an application; its secret is shown once and stored as a hash' weir key create --name app --user ada --team looms
ends 0; key=$(grep -o 'sk-weir-.*' "$out"); [ ${#key} -ge 40 ] || wrong 'no key came'
! grep -rqF -- "$key" "$WEIR_DATA" || wrong 'the secret lies in the data directory'

# ---- the web server ----
port=$((20000 + $$ % 20000))
until curl -s -o /dev/null -m 2 --noproxy '*' "http://127.0.0.1:$port/"; [ $? = 7 ]; do port=$((port + 1)); done # 7: nobody there
url=http://127.0.0.1:$port
sed "s|build/weir|$B/weir|" lighttpd.conf >"$DIR/lighttpd.conf"
start() {
    echo "   $ PORT=$port WEIR_DATA=var lighttpd -D -f lighttpd.conf &" >&3
    PORT=$port lighttpd -D -f "$DIR/lighttpd.conf" >"$DIR/web.log" 2>&1 3>&- &
    web=$!
    n=0
    until curl -sf -m 5 --noproxy '*' "$url/health"; do n=$((n + 1)); [ $n -lt 100 ] || return 1; kill -0 $web || return 1; sleep 0.1; done
}
step "The web server, with the repository's lighttpd.conf" start
ends 0; shows '"status":"ok"'

step 'Is it alive? Could it serve?' fetch /readyz
shows '"status":"ready"' 'HTTP status 200'

step 'A chat' chat mock
shows '"object":"chat.completion"' '"finish_reason":"stop"' '"usage"'

step 'The same as a stream: events come one by one' chat mock-stream ',"stream":true'
shows 'data: {' 'data: [DONE]'; [ "$(grep -c '^data: ' "$out")" -gt 5 ] || wrong 'too few events'

step 'A stream with usage at its end, for who asks' chat mock-stream ',"stream":true,"stream_options":{"include_usage":true}'
shows '"completion_tokens"' '[DONE]'

step 'A tool call' chat mock-tool ',"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]'
shows '"tool_calls"' '"weather"'

step 'Embeddings as numbers' post /v1/embeddings '{"model":"mock","input":"water","encoding_format":"float"}'
shows '"embedding":['
step 'Embeddings as the SDKs ask for them: base64' post /v1/embeddings '{"model":"mock","input":"water","encoding_format":"base64"}'
shows '"embedding":"'

step 'A completion in the older form' post /v1/completions '{"model":"mock","prompt":"Water flows"}'
shows '"object":"text_completion"'

step 'The models this key may use' ask /v1/models
shows '"object":"list"' '"id":"mock"' '"id":"mock-stream"'

step 'Headers say who answered' chat mock ',"seed":14' -D -
shows 'x-weir-provider: mock' 'x-weir-attempts: 1' 'x-weir-cache: miss' 'x-request-id: '

step 'The same again comes from the cache' chat mock ',"seed":14' -D -
shows 'x-weir-provider: mock' 'x-weir-cache: hit' 'Age: '

step 'A request id of the caller is kept' chat mock '' -D - -H 'x-request-id: my-own-id-1'
shows 'x-request-id: my-own-id-1'

# ---- refusals ----
step 'An unknown model: 404 in the form SDKs know' chat no-such-model
shows 'HTTP status 404' '"code":"model_not_found"' '"param":"model"'
step 'A wrong type: 400 that names the field' chat mock ',"stream":"yes"'
shows 'HTTP status 400' '"param":"stream"'
own=$key key=sk-weir-of-nobody-000000000000000000000000000000
step 'A wrong key: 401, as for an expired or revoked one' ask /v1/models
key=$own; shows 'HTTP status 401' '"invalid_api_key"'
step 'A provider that fails: its trouble is told as such' chat mock-error
shows 'HTTP status 503'

# ---- providers, aliases, fallback while running ----
echo 'sk-of-the-provider' >"$DIR/provider-key"
step 'A provider is added by one command; its key comes from a file and is sealed (this one is not reachable)' \
    weir provider add upstream --dialect openai --base-url http://127.0.0.1:9/v1 --key-file "$DIR/provider-key"
ends 0
step 'An alias: the names callers use are yours. First the new provider, then the mock' \
    weir model add my-model --to upstream:gpt-4o-mini,mock:mock
ends 0
step 'It works at once, without a restart: the first target fails, the second answers' chat my-model '' -D -
shows '"finish_reason":"stop"' 'x-weir-provider: mock' 'x-weir-attempts: 2'
step 'What is wrong with a provider is said plainly' weir provider test upstream
ends 1; shows upstream
step 'And what is right: the smallest completion' weir provider test mock --model mock
ends 0; shows completes
step 'The providers' weir provider list
ends 0; shows mock upstream
step 'The aliases' weir model list
ends 0; shows my-model upstream:gpt-4o-mini,mock:mock

# ---- keys ----
step 'A key for one model only' weir key create --name narrow --user bob --models mock
ends 0; narrow=$(grep -o 'sk-weir-.*' "$out")
own=$key key=$narrow
step 'It is refused another' chat mock-long
shows 'HTTP status 403' model_not_allowed
key=$own
step 'A key is rotated with an overlap: both secrets work for an hour' weir key rotate app --overlap 1h
ends 0; new=$(grep -o 'sk-weir-.*' "$out")
step 'The old secret' ask /v1/models -o /dev/null
shows 'HTTP status 200'
key=$new
step 'The new secret' ask /v1/models -o /dev/null
shows 'HTTP status 200'
step 'A key is revoked; the next request is refused' weir key revoke narrow
ends 0; key=$narrow
step 'The revoked key' ask /v1/models -o /dev/null
shows 'HTTP status 401'
key=$new
step 'A key for embeddings only, and from here only' weir key create --name vectors --endpoints /v1/embeddings --allow-ip 127.0.0.0/8
ends 0; key=$(grep -o 'sk-weir-.*' "$out")
step 'It is refused a chat' chat mock
shows 'HTTP status 403' endpoint_not_allowed
key=$new
step 'The keys; no secret is ever shown again' weir key list
ends 0; shows app narrow revoked; hides sk-weir

# ---- tokens, and nobody ----
echo "{\"jwt\":[{\"name\":\"app\",\"algorithm\":\"HS256\",\"secret\":\"the demo's secret, of 32 bytes or more\"}]}" >"$DIR/jwt.json"
step 'A verifier of signed tokens (JWT)' weir apply "$DIR/jwt.json"
ends 0; own=$key
# {"alg":"HS256"} {"sub":"grace","team":"looms","exp":4000000000}
key=eyJhbGciOiAiSFMyNTYifQ.eyJzdWIiOiAiZ3JhY2UiLCAidGVhbSI6ICJsb29tcyIsICJleHAiOiA0MDAwMDAwMDAwfQ.c5JSgxfodNFJxWKh4Iux6rKs0PXgmoYwJtEUeBKnGHw
step 'A token instead of a key; its claims say who is calling' chat mock
shows 'HTTP status 200'
step 'They are in the audit log' weir audit --limit 1
ends 0; shows grace
token=$key key=${key}x
step 'A signature that is not right' ask /v1/models
shows 'HTTP status 401' '"invalid_api_key"'
step 'The verifiers' weir jwt list
ends 0; shows app HS256 'a secret'
step 'A verifier goes, and its tokens with it' weir jwt remove app
ends 0; key=$token
step 'Which is felt at once' ask /v1/models
shows 'HTTP status 401' '"invalid_api_key"'
key=$own
step 'Nobody comes in without a key' fetch /v1/models
shows 'HTTP status 401'
step 'Unless the door is opened; limits come with that' weir settings anonymous true
ends 0; shows user/anonymous
step 'Now they do' fetch /v1/models
shows 'HTTP status 200'
step 'And it is closed again' weir settings anonymous false
ends 0

# ---- budgets ----
step 'A key for a user with a budget' weir key create --name carol-key --user carol
ends 0; carol=$(grep -o 'sk-weir-.*' "$out")
step 'Two requests an hour, over every interval of an hour; a limit is hard unless it says otherwise' \
    weir limit set user/carol --metric requests --shape window --seconds 3600 --amount 2
ends 0
own=$key key=$carol
step 'The first' chat mock
shows 'HTTP status 200'
step 'The second' chat mock
shows 'HTTP status 200'
step 'The third is refused: nothing is sent to a provider' chat mock '' -D -
shows ' 429 ' user/carol
step 'A caller sees the own limits' ask /v1/usage
shows 'HTTP status 200' '"remaining"'
key=$own
step 'What the limits have counted' weir limit list user/carol
ends 0; shows requests
step 'Counting begins again' weir limit reset user/carol --metric requests
ends 0
step 'Ten dollars a month: a model without a price is refused, for what it costs is unknown' \
    weir limit set user/carol --metric cost --shape calendar --period month --amount 10
ends 0; key=$carol
step 'Unpriced' chat my-model
shows 'HTTP status 403' model_price_unknown
key=$own
step 'The prices of the aliases, in dollars per million tokens' weir prices
ends 0; shows gpt-4o-mini unpriced
key=$carol
step 'A priced one is answered and charged' chat gpt-4o-mini
shows 'HTTP status 200'
step 'But not in a service tier whose price is not known' chat gpt-4o-mini ',"service_tier":"priority"'
shows 'HTTP status 403' service_tier
key=$own
step 'Everything counted again from the audit log: the books are right' weir ledger check
ends 0
step 'A limit is taken away' weir limit remove user/carol --metric cost
ends 0

# ---- settings while running ----
step 'Every setting with its value, default and meaning' weir settings
ends 0; shows max_body keepalive_s WEIR_THREADS_MAX
step 'A smaller bound for request bodies' weir settings max_body 1024
ends 0
long=$(head -c 2000 /dev/zero | tr '\0' x)
step 'It holds from the next request on' chat mock ",\"user\":\"$long\""
shows 'HTTP status 413'
step 'And back' weir settings max_body 33554432
ends 0

# ---- leaving in the middle of a stream ----
leave() {
    shown curl "$url/v1/chat/completions" -d '{"model":"slow-stream","stream":true, ...}' --max-time 1
    curl -sN -m 1 --noproxy '*' "$url/v1/chat/completions" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
        -d '{"model":"slow-stream","stream":true,"messages":[{"role":"user","content":"Count"}]}' | grep -c '"content":"[^"]'
    n=0
    until "$B/weir" audit --json | grep '"alias": "slow-stream"'; do n=$((n + 1)); [ $n -lt 100 ] || return 1; sleep 0.1; done
}
step 'A slow stream: the mock is scripted by the name of the model' weir model add slow-stream --to mock:mock-stream:200:100
ends 0
step 'A caller leaves in mid-stream: the upstream is closed, and what was delivered is written down' leave
ends 0; shows '"outcome": "cancelled"' '"alias": "slow-stream"'

# ---- what is written down ----
step 'The audit log: a row for every request' weir audit --limit 8
ends 0; shows ada my-model mock
step 'The same for programs' weir audit --json --limit 1
ends 0; shows '"request_id"' '"prompt_tokens"' '"usage_source"'
step 'Use by user' weir usage --by user
ends 0; shows ada

# ---- the whole configuration ----
export_to() { weir export >"$1"; code=$?; cat "$1"; return $code; }
step 'The configuration as one document, without secrets' export_to "$DIR/weir.json"
ends 0; shows '"providers"' '"my-model"'; hides sk-of-the-provider
step 'Applied again it changes nothing' weir apply "$DIR/weir.json"
ends 0; shows unchanged
echo '{"models":[{"alias":"x","targets":[{"provider":"nobody","model":"m"}]}]}' >"$DIR/bad.json"
step 'A fault is refused with its place, and nothing is changed' weir apply "$DIR/bad.json"
ends 1; shows 'models[0]'
step 'A backup while it runs' weir backup "$DIR/backup.db"
ends 0; mode "$DIR/backup.db" 600
step 'A new master key, while it runs: every secret is sealed anew' weir master-key rotate
ends 0; shows 'is a new one'; mode "$WEIR_DATA/master.key" 600
step 'And the key that a caller holds goes on as before' ask /v1/models
shows 'HTTP status 200'
step 'What has to be done now and then, for cron where nothing stays running' weir tick
ends 0
step 'The schema is up to date' weir migrate
ends 0
echo "$key" >"$DIR/key"
step 'The doctor looks for what goes wrong in the field, and measures that streams are not held back' \
    weir doctor --lighttpd lighttpd.conf --url "$url" --key-file "$DIR/key"
shows 'answer streaming' 'ok    stream'
step 'Style sheet and about page, served by the web server itself' fetch /static/
shows Weir 'HTTP status 200'

# ---- the end ----
stop() { # returns when Weir's process has ended too
    echo "   $ kill %1" >&3
    below=$(cat /proc/$web/task/$web/children) n=0
    kill $web
    wait $web
    for p in $below; do while kill -0 "$p" 2>/dev/null; do n=$((n + 1)); [ $n -lt 150 ] || return 1; sleep 0.1; done; done
}
step 'It stops in order' stop
ends 0; web=
step 'And nothing was lost' weir audit --limit 1
ends 0; shows mock-stream

echo
echo "demo: all $steps steps worked"
