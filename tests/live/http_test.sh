#!/bin/bash
# A real server (nginx) and real clients (curl, Python) with deploy/recipes/http-headers.toml between them: headers
# become longer and shorter in both directions, bodies of all kinds arrive as they are.
. "$(dirname "$0")/lib.sh"

live_begin "HTTP headers, mended in their TCP streams"
for tool in nginx curl; do
  command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done

# Pages of many lengths with lines that look like headers, and one of 20 MB.
mkdir "$work/pages"
"$python" - "$work/pages" <<'PYTHON'
import os, sys
like = b"\r\nServer: nginx\r\nLocation: http://web.lan/\r\nX-Powered-By: y\r\n\r\nHost: z\r\n"
noise = lambda n: os.urandom(n).replace(b"<", b"(")  # nginx loses a "<" at the end of what it looks through
for n in range(40):
    with open(f"{sys.argv[1]}/{n}", "wb") as page:
        page.write((like + noise(n * 61)) * (n % 5))
with open(f"{sys.argv[1]}/large", "wb") as page:
    for n in range(20):
        page.write(like + noise(1000000))
PYTHON
chmod -R a+rX "$work"
cat >"$work/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 1;
pid $work/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  keepalive_requests 100000;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  add_header X-Powered-By "PHP/8.2.7";
  add_header X-Last "stays";
  server {
    listen 80;
    location /plain/ { alias $work/pages/; }
    location /chunked/ { alias $work/pages/; ssi on; ssi_types *; }
    location /moved { return 302 http://web.lan/elsewhere; }
    location /seen { return 200 "\$http_host|\$http_user_agent|\$http_x_last"; }
  }
}
NGINX
start nginx "$server" nginx -e stderr -c "$work/nginx.conf"
listens() { in_server ss -Hltn | grep -q ':80 '; }
wait_for 5 listens || die "nginx does not listen: $(cat "$work/nginx.log")"

web=http://$server_address4
ask() { in_client curl -s --max-time 5 -A tester -H "Host: www.example.net" "$@" | tr -d '\r'; }
large() {  # prints MB/s where the page is whole
  in_client curl -s --max-time 20 -o "$work/got" -w '%{speed_download}\n' "$web/$1/large" >"$work/speed"
  cmp -s "$work/got" "$work/pages/large" && awk '{ printf "%d", $1 / 1e6 }' "$work/speed"
}
# session COUNT: requests on one connection, over plain and chunked pages; says how many were right in body and headers.
session() {
  in_client timeout 30 "$python" - "$work/pages" $server_address4 "$1" <<'PYTHON'
import hashlib, http.client, sys
pages = [hashlib.sha256(open(f"{sys.argv[1]}/{n}", "rb").read()).digest() for n in range(40)]
connection = http.client.HTTPConnection(sys.argv[2], timeout=10)
connection.connect()
sock, bodies, headers, chunked = connection.sock, 0, 0, 0
for n in range(int(sys.argv[3])):
    page = n % 40
    connection.request("GET", f"/{('plain', 'chunked')[n // 40 % 2]}/{page}", headers={"User-Agent": "x" * (n % 7)})
    response = connection.getresponse()
    bodies += hashlib.sha256(response.read()).digest() == pages[page]
    chunked += response.getheader("Transfer-Encoding") == "chunked"
    headers += (response.getheader("Server") == "the front door of example.net"
                and response.getheader("X-Powered-By") is None and response.getheader("X-Last") == "stays")
    if connection.sock is not sock:
        sys.exit(f"the connection ended after {n} requests")
print(f"bodies={bodies} headers={headers} chunked={chunked > 0}")
PYTHON
}

found=$(ask -i $web/moved)
expect_match "without the rules Location has the inside name" "$found" '^Location: http://web\.lan/elsewhere$'
expect_match "and the server tells its software" "$found" '^Server: nginx/'
expect_equal "requests are as the client made them" "$(ask $web/seen)" "www.example.net|tester|"
expect_equal "80 requests on one connection" "$(session 80 2>&1)" "bodies=80 headers=0 chunked=True"
plain=$(large plain) || fail "the large page does not arrive"

sed -e "/^match/s/10\.9\.1\.2/$server_address4/" "$root_dir/deploy/recipes/http-headers.toml" >"$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --fail-closed
in_router iptables -t raw -A PREROUTING -s $server_address4 -p tcp --sport 80 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A POSTROUTING -d $server_address4 -p tcp --dport 80 -j NFQUEUE --queue-balance 0:1

found=$(ask -i $web/moved)
expect_match "with the rules Location has the outside name" "$found" '^Location: http://www\.example\.net/elsewhere$'
expect_match "Server is another" "$found" '^Server: the front door of example\.net$'
expect_equal "X-Powered-By is gone" "$(grep -c X-Powered-By <<<"$found")" 0
expect_equal "requests have the inside name and the way" "$(ask -H "X-Last: stays" $web/seen)" \
  "web.lan|tester (through the front door)|stays"
expect_equal "1000 requests on one connection" "$(session 1000 2>&1)" "bodies=1000 headers=1000 chunked=True"
for kind in plain chunked; do
  speed=$(large $kind) || fail "the large page, $kind, does not arrive whole"
  pass "20 MB, $kind, whole: ${speed:-0} MB/s (without the rules $plain MB/s)"
done
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
live_end
