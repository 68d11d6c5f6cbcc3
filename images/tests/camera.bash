# Build test of the camera image: each video has all its pictures, what comes over RTSP decodes to the pictures of the
# file, and the two videos differ. Usage: camera.bash NAME NAME
set -euo pipefail
api=$((20000 + RANDOM % 10000)) rtsp=$((30000 + RANDOM % 10000))  # builds may share the machine's network

digests() { ffmpeg -hide_banner -loglevel error "$@" -map 0:v:0 -f framemd5 - | grep -v '^#' | awk '{print $NF}'; }

go2rtc -config /etc/go2rtc.yaml -config "{api: {listen: '127.0.0.1:$api'}, rtsp: {listen: '127.0.0.1:$rtsp'}}" &
server=$!
trap 'kill $server' EXIT
for _ in {1..200}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$rtsp") 2>/dev/null && break
    kill -0 $server
    sleep 0.05
done
for name in "$@"; do
    [ "$(digests -i "/videos/$name.mp4" -c copy | wc -l)" = 795 ] || { echo "$name.mp4 has not 795 pictures" >&2; exit 1; }
    digests -i "/videos/$name.mp4" -frames:v 60 >"/tmp/$name.file"
    digests -rtsp_transport tcp -i "rtsp://127.0.0.1:$rtsp/$name" -frames:v 15 >"/tmp/$name.stream"
    # Every picture that a viewer decodes is one of the file, bit for bit.
    same=$(grep -c -F -x -f "/tmp/$name.file" "/tmp/$name.stream" || true)
    echo "$name: 795 pictures, $same of $(wc -l <"/tmp/$name.stream") streamed ones are in the file"
    [ "$same" = "$(wc -l <"/tmp/$name.stream")" ] && [ "$same" -ge 10 ]
done
if cmp -s "/tmp/$1.file" "/tmp/$2.file"; then
    echo "the videos are the same" >&2
    exit 1
fi
