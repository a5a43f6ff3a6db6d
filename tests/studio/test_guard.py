"""What is refused: requests that other pages, other names and other programs could send."""

import http.client
import socket

import pytest

READ = {"text": "He said"}


def test_the_page_is_open_to_who_knows_the_token(served):
    status, headers, content = served.ask("GET", f"/?token={served.token}", Cookie=None)
    assert status == 200
    assert b"jaxrnn studio" in content
    cookie = headers["set-cookie"]
    assert cookie.startswith(f"studio-{served.port}={served.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_the_cookie_alone_is_enough(served):
    for path in ("/", "/page/main.js", "/api/model", "/api/training"):
        status, headers, _ = served.ask("GET", path)
        assert (status, "set-cookie" in headers) == (200, False)


def test_cookies_of_other_servers_do_no_harm(served):
    own = f"studio-{served.port}={served.token}"
    for others in ('a={"b": 1}', "path=/", "=", "\x7f"):
        assert served.ask("GET", "/api/model", Cookie=f"{others}; {own}; {others}")[0] == 200


def test_every_answer_has_its_headers(served):
    answers = [
        served.ask("GET", "/"),
        served.ask("GET", "/api/model"),
        served.ask("GET", "/nothing"),
        served.ask("GET", "/", Cookie=None),
        served.ask("POST", "/api/read", READ),
        served.ask("POST", "/api/read", "{"),
    ]
    assert [status for status, *_ in answers] == [200, 200, 404, 403, 200, 400]
    for _, headers, _ in answers:
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


HOSTILE = {
    # a page of another site, which a browser tells apart by what it adds to the request
    "without the cookie": ("GET", "/api/model", None, {"Cookie": None}, 403),
    "a wrong cookie": ("GET", "/api/model", None, {"Cookie": "studio-{port}=guess"}, 403),
    "the cookie of another port": ("GET", "/api/model", None, {"Cookie": "studio-1={token}"}, 403),
    "a broken cookie": ("GET", "/api/model", None, {"Cookie": "\x01=;;=\x02"}, 403),
    "a wrong token": ("GET", "/?token=guess", None, {"Cookie": None}, 403),
    "two tokens": ("GET", "/?token={token}&token=x", None, {"Cookie": None}, 403),
    "the token elsewhere": ("GET", "/api/model?token={token}", None, {"Cookie": None}, 403),
    "no origin": ("POST", "/api/read", READ, {"Origin": None}, 403),
    "another origin": ("POST", "/api/read", READ, {"Origin": "http://evil.example"}, 403),
    "an opaque origin": ("POST", "/api/read", READ, {"Origin": "null"}, 403),
    "another port": ("POST", "/api/read", READ, {"Origin": "http://127.0.0.1:1"}, 403),
    "https": ("POST", "/api/read", READ, {"Origin": "https://127.0.0.1:{port}"}, 403),
    "a suffix": ("POST", "/api/read", READ, {"Origin": "http://127.0.0.1:{port}.evil"}, 403),
    "cross-site fetch": ("GET", "/api/model", None, {"Sec_Fetch_Site": "cross-site"}, 403),
    "same-site fetch": ("GET", "/page/main.js", None, {"Sec_Fetch_Site": "same-site"}, 403),
    "a form": ("POST", "/api/read", "text=a", {"Content_Type": "multipart/form-data"}, 415),
    "plain text": ("POST", "/api/read", READ, {"Content_Type": "text/plain"}, 415),
    # a name that was rebound to this address
    "another host": ("GET", "/api/model", None, {"Host": "evil.example"}, 403),
    "another host's port": ("GET", "/api/model", None, {"Host": "evil.example:{port}"}, 403),
    "no port": ("GET", "/api/model", None, {"Host": "127.0.0.1"}, 403),
    "all addresses": ("GET", "/api/model", None, {"Host": "0.0.0.0:{port}"}, 403),
    # other files of this machine
    "a path upwards": ("GET", "/page/../../../../etc/passwd", None, {}, 404),
    "an encoded path upwards": ("GET", "/page/..%2f..%2fapp.py", None, {}, 404),
    "a file of the package": ("GET", "/page/app.py", None, {}, 404),
    "an absolute path": ("GET", "//etc/passwd", None, {}, 404),
    # methods and sizes
    "OPTIONS": ("OPTIONS", "/api/read", None, {"Origin": "http://evil.example"}, 405),
    "PUT": ("PUT", "/api/read", READ, {}, 405),
    "DELETE": ("DELETE", "/", None, {}, 405),
    "TRACE": ("TRACE", "/", None, {}, 405),
    "reading by GET": ("GET", "/api/read", None, {}, 405),
    "a long body": ("POST", "/api/read", b"x" * ((1 << 20) + 1), {}, 413),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused(name, served):
    method, path, body, headers, expected = HOSTILE[name]
    about = {"port": served.port, "token": served.token}
    headers = {k: v and v.replace("{port}", str(served.port)) for k, v in headers.items()}
    headers = {k: v and v.replace("{token}", served.token) for k, v in headers.items()}
    status, answer, content = served.ask(method, path.format(**about), body, **headers)
    assert status == expected
    assert "access-control-allow-origin" not in answer
    assert b"vocabulary" not in content
    assert b"root:" not in content


def raw(served, request):
    """The first line that answers some bytes."""
    with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


def test_a_header_that_comes_twice_is_refused(served):
    begin = f"GET /api/model HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
    begin += f"Cookie: studio-{served.port}={served.token}\r\n"
    assert b" 200 " in raw(served, f"{begin}\r\n".encode())
    for more in ("Host: evil.example", "Origin: http://a\r\nOrigin: http://b"):
        assert b" 400 " in raw(served, f"{begin}{more}\r\n\r\n".encode())


def test_a_body_without_a_length_ends_where_it_is_too_long(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    pieces = (b'{"text": "', *(b"a" * 65_536 for _ in range(20)), b'"}')
    connection.request(
        "POST", "/api/read", iter(pieces), served.headers("POST"), encode_chunked=True
    )
    assert connection.getresponse().status == 413
    connection.close()


def test_a_long_address_is_refused(served):
    assert b" 200 " not in raw(served, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")


def test_the_server_listens_on_this_machine_alone(served):
    assert served.bound.getsockname() == ("127.0.0.1", served.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", served.port), 1)
