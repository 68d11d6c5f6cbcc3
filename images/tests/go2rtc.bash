# Build test of the go2rtc image: it serves its API, and it is the expected version. Usage: go2rtc.bash VERSION
set -euo pipefail
port=$((20000 + RANDOM % 20000))  # builds may share the machine's network
go2rtc -config "{app: {modules: [api]}, api: {listen: '127.0.0.1:$port'}, log: {level: warn}}" &
server=$!
trap 'kill $server' EXIT
for _ in {1..200}; do
    if answer=$(exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /api HTTP/1.0\r\n\r\n' >&3 && cat <&3) 2>/dev/null; then
        echo "$answer" | tail -1
        echo "$answer" | grep -q "\"version\":\"$1\""
        exit
    fi
    kill -0 $server
    sleep 0.05
done
echo "go2rtc did not answer" >&2
exit 1
