#!/bin/sh
# What cloud-init.yaml runs as root on a new machine. Run again, it leaves passwords as they are, builds what has changed, and
# starts it.
set -eu

folder=$(cd "$(dirname "$0")/../.." && pwd)
settings=$folder/.env

secret() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

if [ ! -e "$settings" ]; then
  umask 077
  # Where a variable stands twice, Compose takes the last.
  {
    cat "$folder/.env.example"
    printf '\n# Made by deploy/azure/setup.sh\n'
    printf '%s=%s\n' MYSQL_ROOT_PASSWORD "$(secret)" MYSQL_PASSWORD "$(secret)" RUNIFY_CANARY_KEY "$(secret)"
    [ ! -e /etc/runify.env ] || cat /etc/runify.env
  } >"$settings.part"
  # There is no half of it, however this ends.
  mv "$settings.part" "$settings"
fi

cd "$folder"
docker compose build
install -m 0644 "$folder/deploy/azure/runify.service" /etc/systemd/system/runify.service
systemctl daemon-reload
systemctl enable runify.service
# Starts it; where it runs already, replaces what has changed.
systemctl reload-or-restart runify.service
