#!/bin/bash
# ready.sh PORT: whether the service in this container is ready. Docker asks every few seconds, for every container, so
# it is Bash, at 3 ms, and not Node, at 100.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET /health/ready HTTP/1.0\r\n\r\n' >&3
answer=$(timeout 4 cat <&3)
# The reason is what `docker inspect` shows.
echo "${answer##*$'\r\n\r\n'}"
[[ $answer == HTTP/1.?' 200 '* ]]
