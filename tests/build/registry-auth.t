#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# simg build from registries that want to know who asks, simg login and simg logout: by password, by token, in all the ways in which
# registries ask. No secret is in what they print and leave.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/tarball.sh"
. "$(dirname "$0")/registry.sh"
need /usr/bin/python3 zstd jq unsquashfs
make_app
account=$user_name:$password

login() { run simg login "$@" "$at" -u "$user_name" --password-stdin <<<"$password"; }

# --- passwords ---

(
	t "a registry by password gets it, and gives the image"
	registry auth=basic user="$account"
	knows_password
	builds
	expect_app
	expect_asked 0 '.authorization == "Basic wrong"'
)

(
	t "without a password, a registry is refused with what to do"
	registry auth=basic user="$account"
	refuses
	expect_stderr_has "$at" "simg: hint: " "simg login $at"
)

(
	t "a wrong password is refused, and not tried for ever"
	registry auth=basic user="$account"
	knows_password "$at" "wrong S3cret"
	refuses
	expect_stderr_has "$at" "simg login $at"
	[ "$(asked '.authorization')" -le 3 ] || fail "it was tried $(asked '.authorization') times"
)

(
	t "a token server that refuses a password gets it once"
	for code in 400 401 403; do
		registry auth=bearer user="$account" "token status $code"
		knows_password
		refuses
		expect_stderr_has "$at" "refuses the login" "($code from"
		expect_asked 1 '.path == "/token"'
	done
)

(
	t "a token server that trickles holds a build up for a moment only"
	registry auth=bearer token-bytes=100000 'token drip 200'
	started=$(date +%s)
	refuses
	expect_stderr_has "'$at' sends its answer too slowly"
	[ $(($(date +%s) - started)) -le 20 ] || fail "it waited for long" # five tries, of two seconds each
)

(
	t "a password goes to its registry alone"
	registry auth=basic user="$account"
	knows_password "127.0.0.1:1"
	refuses
	expect_asked 0 '.authorization'
)

(
	t "a password for a repository comes before the one for its registry"
	registry auth=basic user="$account"
	knows_password "$at" wrong
	knows_password "$at/team/app"
	builds
	expect_app
	expect_asked 0 '.authorization == "Basic wrong"'
)

(
	t "--auth-file and the environment say where the password is"
	registry auth=basic user="$account"
	knows_password
	mv "$HOME/.config/containers/auth.json" my.json
	refuses
	builds "docker://$at/team/app:1" --auth-file my.json
	expect_app
	rm -rf cache
	export REGISTRY_AUTH_FILE=$PWD/my.json
	builds
	expect_app
	unset REGISTRY_AUTH_FILE
	rm -rf cache
	export SIMG_DOCKER_USERNAME=$user_name SIMG_DOCKER_PASSWORD=$password
	builds
	expect_app
)

(
	t "an auth file that is none is named"
	registry auth=basic user="$account"
	echo '{"auths": {"'"$at"'": {"auth": "S3cret"' >bad.json
	refuses "docker://$at/team/app:1" --auth-file bad.json
	expect_stderr_has "bad.json"
	refuses "docker://$at/team/app:1" --auth-file missing.json
	expect_stderr_has "missing.json"
)

# --- tokens ---

(
	t "anybody gets a token where nobody has to say who he is"
	registry auth=bearer
	builds
	expect_app
	expect_asked 1 '.path == "/token"'
	expect_asked 1 '.query.scope == ["repository:team/app:pull"] and .query.service == ["registry.test"]'
)

(
	t "a token is given for a password, once for a build"
	registry auth=bearer user="$account" realm=other
	knows_password
	builds
	expect_app
	expect_asked 1 '.at == "token" and .authorization == "Basic tester" and .status == 200'
	expect_asked 0 '.at == "registry" and .authorization == "Basic tester"'
	expect_asked 0 '.at == "token" and (.authorization | startswith("Bearer"))'
)

(
	t "a token that nobody gives is refused with what to do"
	registry auth=bearer user="$account"
	refuses
	expect_stderr_has "$at" "simg login $at"
	knows_password "$at" "wrong S3cret"
	refuses
	expect_stderr_has "$at" "simg login $at"
)

for form in several-headers one-header odd-case tokens escaped basic-too; do
	(
		t "a challenge is understood: $form"
		registry auth=bearer user="$account" challenge=$form
		knows_password
		builds
		expect_app
		expect_asked 1 '.path == "/token"'
		expect_asked 1 '.query.service == ["registry.test"]'
	)
done

for form in several-headers one-header odd-case; do
	(
		t "a challenge for a password is understood: $form"
		registry auth=basic user="$account" challenge=$form
		knows_password
		builds
		expect_app
	)
done

(
	t "a registry that wants what we cannot do is named with it"
	registry auth=bearer challenge=unknown
	refuses
	expect_stderr_has "$at" "Negotiate"
)

(
	t "a registry that asks on /v2/ only is understood"
	registry auth=bearer user="$account" blob-challenge=no
	knows_password
	builds
	expect_app
)

(
	t "a token may be called access_token, and be long"
	registry auth=bearer token-field=access_token expires-in=300 token-bytes=30000
	builds
	expect_app
)

(
	t "an identity token gets a token by POST, and is nowhere in a URL"
	registry auth=bearer user="$account" realm=other identity-token=IdentityS3cret
	mkdir -p "$HOME/.config/containers"
	echo '{"auths": {"'"$at"'": {"identitytoken": "IdentityS3cret"}}}' >"$HOME/.config/containers/auth.json"
	builds
	expect_app
	expect_asked 1 '.at == "token" and .method == "POST" and (.form | contains(["grant_type", "refresh_token", "scope", "service"]))'
	! grep -q S3cret "$requests" || fail "the identity token is in a URL"
)

(
	t "tokens that end in the middle of a build are renewed"
	registry auth=bearer user="$account" token-uses=2
	knows_password
	builds
	expect_app
	[ "$(asked '.path == "/token" and .status == 200')" -ge 2 ] || fail "no token was renewed"
)

(
	t "a token that ends while a layer is slow is renewed for what comes then"
	registry auth=bearer user="$account" token-life=1 expires-in=1 'layer 1 drip 1500' 'layer 1 cut 18000'
	knows_password
	builds
	expect_app
)

(
	t "a token that was said to last longer, and did not, is renewed"
	registry auth=bearer user="$account" token-life=1 expires-in=3600 'layer 1-2 drip 1500' 'layer 1-2 cut 9000'
	knows_password
	builds
	expect_app
)

(
	t "tokens that are never good end in a refusal"
	registry auth=bearer token-uses=0
	refuses
	expect_stderr_has "$at"
	[ "$(asked '.path == "/token"')" -le 6 ] || fail "$(asked '.path == "/token"') tokens were asked for"
)

(
	t "a scope that the registry asks for later is asked for"
	registry auth=bearer user="$account" scope=repository:base/layers:pull
	knows_password
	builds
	expect_app
	expect_asked 0 '.path == "/token" and .query.scope == null'
)

(
	t "a token goes neither to a storage nor to another registry"
	registry auth=bearer user="$account" realm=other 'blob redirect {store}'
	knows_password
	builds
	expect_app
	expect_asked 0 '.at == "store" and .authorization'
)

(
	t "a token service that is busy is asked again, one that is broken is named"
	registry auth=bearer realm=other 'token 1-2 status 503'
	builds
	expect_app
	rm -rf cache
	registry auth=bearer realm=other 'token status 503'
	refuses
	expect_stderr_has "$token_at" "503"
)

printf '%s\n' '{"token": "a b\r\nX-Injected: yes"}' >"$file_dir/split.json"
echo '{"token": 7}' >"$file_dir/number.json"
echo '{"token": ""}' >"$file_dir/empty.json"
echo '[]' >"$file_dir/array.json"
echo '<html>log in here</html>' >"$file_dir/page.json"
head -c 3000000 /dev/zero | tr '\0' '[' >"$file_dir/deep.json"
for answer in split number empty array page deep; do
	(
		t "what a token service says is not trusted: $answer"
		registry auth=bearer realm=other "token body $file_dir/$answer.json"
		refuses
		expect_stderr_has "$token_at"
		expect_asked 0 '.authorization'
	)
done

for realm in file:///etc/passwd ftp://127.0.0.1/token '' 'http://[' '/token'; do
	(
		t "a realm that is no web address is refused: '$realm'"
		registry auth=bearer user="$account" realm="$realm"
		knows_password
		refuses
		expect_stderr_has "$at"
	)
done

# --- login ---

(
	t "simg login asks the registry, stores for the builds to come, and simg logout forgets"
	for kind in basic bearer; do
		registry auth=$kind user="$account"
		login
		expect_status 0
		expect_no_secret
		file=$HOME/.config/containers/auth.json
		expect_equal "$(stat -c %a "$file")" 600
		expect_equal "$(jq -r '.auths[].auth' "$file" | base64 -d)" "$account"
		builds
		expect_app
		rm -rf cache
		run simg logout "$at"
		expect_status 0
		expect_equal "$(jq -r '.auths | length' "$file")" 0
		refuses
	done
)

(
	t "simg login stores nothing that the registry does not take"
	for kind in basic bearer; do
		registry auth=$kind user="$account"
		run simg login "$at" -u "$user_name" --password-stdin <<<"wrong S3cret"
		expect_status 1
		expect_stderr_has "simg: error: " "$at"
		expect_no_secret
		[ ! -e "$HOME/.config/containers/auth.json" ] || fail "it was stored"
	done
)

(
	t "simg login keeps what is in the file, and writes where --auth-file says"
	registry auth=basic user="$account"
	echo '{"auths": {"other.example": {"auth": "eDp5"}}, "credHelpers": {"third.example": "vault"}}' >my.json
	login --auth-file my.json
	expect_status 0
	expect_equal "$(jq -c '[(.auths | keys | length), .auths["other.example"].auth, .credHelpers["third.example"]]' my.json)" '[2,"eDp5","vault"]'
	builds "docker://$at/team/app:1" --auth-file my.json
	expect_app
	run simg logout "$at" --auth-file my.json
	expect_status 0
	expect_equal "$(jq -c '.auths | keys' my.json)" '["other.example"]'
)

(
	t "simg logout from where nobody is logged in says so"
	own_home
	run simg logout registry.example
	expect_status 0
	expect_stdout_has "registry.example"
)

# --- secrets ---

(
	t "no secret is in a process's arguments while it runs"
	registry auth=bearer user="$account" realm=other 'layer drip 1500'
	knows_password
	simg build -q x.simg "docker://$at/team/app:1" &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		for process in $pid $(cat /proc/$pid/task/*/children 2>/dev/null); do
			tr '\0' '\n' <"/proc/$process/cmdline" >>seen 2>/dev/null || :
		done
		sleep 0.05
	done
	wait $pid
	grep -q "team/app:1" seen
	! grep -e TokenSecret -e S3cret -e "$(printf %s "$account" | base64 -w0)" seen || fail "a secret was seen"
)

(
	t "no secret is in what simg says of failures"
	registry auth=bearer user="$account" realm=other 'blob redirect {store}' 'store status 403'
	knows_password
	refuses
	registry auth=bearer user="$account" 'blob redirect {store}' 'store cut 10'
	knows_password
	refuses
	registry auth=bearer user="$account" 'layer flip 3' 'layer redirect {store}' 'store flip 3'
	knows_password
	refuses
)

(
	t "a reference with a name and password in it is refused without repeating it"
	registry auth=basic user="$account"
	run simg build x.simg "docker://tester:S3cret@$at/team/app:1"
	[ "$status" != 0 ] || fail "it was taken"
	expect_no_secret
)
