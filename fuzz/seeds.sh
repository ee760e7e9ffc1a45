#!/usr/bin/env bash
# Makes what fuzzing begins with, out of the fixtures: a folder for each target in the folder that is named, and in it
# the file `dictionary` with the words that stand in bodies, pages and settings.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
mkdir -p "$out"/{answers,csv,json_lines,keys,page,settings,shaped_page,webhook}

cp fixtures/events/*.json "$out/webhook/"
printf '{"verification_token": "secret_of_a_subscription"}' >"$out/webhook/handshake"

cp fixtures/pages/*.json "$out/page/"
for page in 0 1 2 3 4 5; do printf '%b\1\2\3\4\5\6\7\10\11\12\13\14' "\\00$page" >"$out/shaped_page/$page"; done

# The question, the status and the pause stand before the body.
for page in fixtures/pages/*.json; do
    { printf '\0\0\n' && cat "$page"; } >"$out/answers/page-${page##*/}"
    {
        printf '\2\0\n{"object": "list", "has_more": true, "next_cursor": "c", "request_status": {"type": "complete"}, "results": [' &&
            cat "$page" && printf ']}'
    } >"$out/answers/query-${page##*/}"
done
{ printf '\1\0\n' && cat fixtures/pages/data_source.json; } >"$out/answers/source"
refusal() { printf '%b%b%s\n{"object": "error", "status": 400, "code": "%s", "message": "%s", "additional_data": {"rate_limit_reason": "%s", "retry_after": "5"}}' "\\0$1" "\\0$2" "$3" "$4" "$5" "$6"; }
refusal 0 12 '' object_not_found 'Could not find page' '' >"$out/answers/not-found"
refusal 2 7 '' validation_error 'start_cursor is invalid' '' >"$out/answers/cursor"
refusal 0 11 '' restricted_resource 'the token TOKEN may not' '' >"$out/answers/restricted"
refusal 0 16 30 rate_limited 'slow down' '' >"$out/answers/slow"
refusal 2 16 'Wed, 21 Oct 2026 07:28:00 GMT' rate_limited 'slow down' public_api_request_blocked >"$out/answers/blocked"
printf '\0\11\n<html>403</html>' >"$out/answers/edge"

# Texts that give keys: those of the pages, each in a file of its own.
grep -ohE '"(url|plain_text)": "[^"]+"' fixtures/pages/*.json | cut -d'"' -f4 | sort -u |
    awk -v out="$out/keys" '{ file = out "/text-" NR; printf "%s", $0 > file; close(file) }'
printf 'domain:https://www.Acme.ai/, companies_house:1234567; crunchbase:Acme\ngithub_repo:acme/core' >"$out/keys/several"
printf 'M\303\274ller Ltd\0Passed\0linkedin:acme\0app.acme.co.uk\0001234567\0acme\00012-3\0acme\0core\0London' >"$out/keys/page"

sed -E '/^# /d' deploy/suppressd.example.toml >"$out/settings/example"
sed -E '/^# /d; s/^#([a-z_[])/\1/' deploy/suppressd.example.toml >"$out/settings/all"
printf '[[source]]\nname = "a"\ndatabase_id = "3296958a07b853eeb6a8a1cc71849e2b"\nhard_statuses = ["Passed"]\n[source.properties]\nwebsite = "Web"\n' >"$out/settings/source"
printf 'ttl_days = 3\0SUPPRESSD_SHARED_HOSTS=a.example,b.example\nNOTION_DATABASE_ID=3296958a07b853eeb6a8a1cc71849e2b\n' >"$out/settings/variables"

{ echo 'Name,Website,Done,Why' && sed -n '2,20p' fixtures/names.csv; } >"$out/csv/names"
printf 'sep=;\r\nkey;name;Companies House Number\r\ndomain:acme.ai;"Acme; ""Ltd""";1234567\r\n;;\r\na;b;c;d\r\n' >"$out/csv/excel"
printf '\357\273\277website\tsuppressd_verdict\tlocation\nacme.ai\tclear\t"Lon\ndon"\n' >"$out/csv/tabs"
sed -n '2,12p' fixtures/names.csv | awk -F, '{ printf "{\"name\": \"%s\", \"domain\": \"acme.ai\", \"n\": [1, {\"b\": null}]}\n", $1 }' |
    grep -v '"""' >"$out/json_lines/names"
printf '{"company": {"key": ["domain:acme.ai"]}, "suppressd": {"error": "old"}}\n\nno object\n[1]\n{"domain": 5}\r\n' >"$out/json_lines/mixed"

{
    grep -ohE '"[a-z_]+" *:' fixtures/events/*.json fixtures/pages/*.json
    grep -ohE '"[a-z_.]+"' fixtures/events/*.json fixtures/pages/*.json
    grep -ohE '^#?([a-z_]+ = |\[+[a-z.]+\]+)' deploy/suppressd.example.toml | tr -d '#'
    printf '%s\n' domain: companies_house: crunchbase: pitchbook: github_org: github_repo: name_loc: https:// www. xn-- \
        '"request_status":' '"incomplete"' '"additional_data":' '"retry_after":' '"verification_token":' suppressd_error
} | sort -u | sed -E 's/[\\"]/\\&/g; s/.*/"&"/' >"$out/dictionary"
