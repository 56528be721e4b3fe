#!/bin/sh
# A guided tour of the workspace server: starts an sshd of its own on loopback as the machine, the server in front of it, sends
# requests, shows what comes back, and stops both. usage: tour.sh SERVER [quiet]
#
# Exits with 0 only if every answer was the expected one.
set -eu
server=$1
show=${2:-loud}
work=$(mktemp -d)
sshd_pid= server_pid=
finish() {
  status=$?
  trap - EXIT
  [ ! "$server_pid" ] || kill "$server_pid" 2> /dev/null || :
  [ ! "$sshd_pid" ] || kill "$sshd_pid" 2> /dev/null || :
  [ ! "$server_pid" ] || wait "$server_pid" 2> /dev/null || :
  rm -rf "$work"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { [ "$show" = quiet ] || printf '%s\n' "$*"; }
die() { printf 'tour: %s\n' "$*" >&2; exit 1; }

# ---- a machine -------------------------------------------------------------------------------------------------------

[ -d /run/sshd ] || [ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/host"
mkdir -m 700 "$work/ssh"
: > "$work/sshd.log"
: > "$work/ssh/granted"
chmod 600 "$work/ssh/granted"
for port in 42622 43622 44622 45622 46622; do
  cat > "$work/sshd_config" << END
Port $port
ListenAddress 127.0.0.1
HostKey $work/host
PidFile none
AuthorizedKeysFile $work/ssh/granted
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
END
  "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$work/sshd_config" 2> "$work/sshd.log" &
  sshd_pid=$!
  # It says so when it listens, and ends when it cannot.
  while kill -0 $sshd_pid 2> /dev/null && ! grep -q 'Server listening' "$work/sshd.log"; do sleep 0.05; done
  grep -q 'Server listening' "$work/sshd.log" && break
  sshd_pid=
done
[ "$sshd_pid" ] || die "sshd does not start: $(cat "$work/sshd.log")"
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$work/host.pub")" > "$work/known_hosts"

# ---- the server ------------------------------------------------------------------------------------------------------

digest() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
umask 077
cat > "$work/tokens" << END
token $(digest ada-secret) user:ada acme 3
token $(digest bob-secret) user:bob acme 1
token $(digest eve-secret) user:eve umbrella 3
END
cat > "$work/machines" << END
workspace build-7 acme ssh $port $(id -un)@127.0.0.1 $work/known_hosts grant $work/ssh/granted
workspace shelf acme none
END
: > "$work/server.out"
"$server" --tokens "$work/tokens" --machines "$work/machines" --audit "$work/audit.db" > "$work/server.out" 2> "$work/server.err" &
server_pid=$!
while kill -0 $server_pid 2> /dev/null && ! grep -q '^listening' "$work/server.out"; do sleep 0.05; done
grep -q '^listening' "$work/server.out" || die "the server does not start: $(cat "$work/server.err")"
url=$(sed -n 's/^listening on \(http:[^ ]*[0-9]\): .*/\1/p' "$work/server.out")
say "$(cat "$work/server.out")"

# ---- requests --------------------------------------------------------------------------------------------------------

failed=0
# ask TITLE TOKEN WORKSPACE BODY STATUS PATTERN: what comes back has this status, and a body in which the pattern is found.
ask() {
  say ""
  say "# $1"
  say "POST /workspaces/$3/exec  $4"
  status=$(curl -sS -o "$work/body" -w '%{http_code}' -X POST ${2:+-H "Authorization: Bearer $2"} --data-binary "$4" \
    "$url/workspaces/$3/exec")
  [ "$show" = quiet ] || { printf '%s\n' "$status"; cut -c 1-160 "$work/body" | sed -e '6,$d'; echo; }
  if [ "$status" != "$5" ] || ! grep -Eq "$6" "$work/body"; then
    printf 'tour: %s: expected %s and %s, got %s:\n' "$1" "$5" "$6" "$status" >&2
    cut -c 1-400 "$work/body" >&2
    failed=1
  fi
}
ask 'a command on the machine, on a key that lives for a minute' ada-secret build-7 \
  '{"cmd":["sh","-c","echo hello from $(uname -s); echo on stderr >&2"]}' 200 '"exit_code":0'
ask 'an exit code is an answer, not an error' ada-secret build-7 '{"cmd":["sh","-c","exit 7"]}' 200 '"exit_code":7'
ask 'a command that runs out of time, and what it had said' ada-secret build-7 \
  '{"cmd":["sh","-c","echo begun; sleep 60"],"timeout_s":1}' 200 '"code":"exec_timeout"'
ask 'the same, silent: there is no 200 to take back' ada-secret build-7 '{"cmd":["sleep","60"],"timeout_s":1}' 504 'exec_timeout'
ask 'more than a mebibyte is counted, not kept' ada-secret build-7 '{"cmd":["head","-c","3000000","/dev/zero"]}' 200 \
  '"truncated":true,"total":3000000'
ask 'a command line is not taken apart' ada-secret build-7 '{"cmd":"ls -la"}' 400 'argv only'
ask 'a member that nobody knows' ada-secret build-7 '{"cmd":["ls"],"shell":true}' 400 'shell'
ask 'a tier that may not' bob-secret build-7 '{"cmd":["id"]}' 403 'exec_tier_forbidden'
ask "another tenant's workspace" eve-secret build-7 '{"cmd":["id"]}' 404 'target_not_found'
ask 'a workspace without a machine' ada-secret shelf '{"cmd":["id"]}' 400 'no_machine'
ask 'no token' '' build-7 '{"cmd":["id"]}' 401 'unauthenticated'
ask 'a secret in the arguments' ada-secret build-7 '{"cmd":["sh","-c","true --password hunter2"]}' 200 '"exit_code":0'

say ""
say "# what the trail knows"
curl -sS -H 'Authorization: Bearer ada-secret' "$url/audit" > "$work/rows"
[ "$show" = quiet ] || cat "$work/rows"
[ "$(grep -c . "$work/rows")" -eq 7 ] || { echo "tour: expected 7 rows" >&2; failed=1; }
if grep -q hunter2 "$work/rows" "$work/audit.db"; then
  echo "tour: a secret is in the trail" >&2
  failed=1
fi
curl -sS -H 'Authorization: Bearer ada-secret' "$url/metrics" > "$work/metrics"
say ""
[ "$show" = quiet ] || grep '^exec_calls_total' "$work/metrics"
grep -q '^exec_calls_total{.*result="timeout".*} 2$' "$work/metrics" || { echo "tour: metrics" >&2; failed=1; }

kill "$server_pid"
wait "$server_pid" || { echo "tour: the server ended with $?" >&2; failed=1; }
server_pid=
grep -q '^ended' "$work/server.out" || { echo "tour: the server was not asked nicely" >&2; failed=1; }
say ""
[ $failed -eq 0 ] && say "tour: every answer was the expected one" || die "some answers were not"
