"""Tokens for the tests: keys of every method, right tokens, and the many ways to be wrong. Each wrong one is named; none
of them may come in, and whoever reads the table can see why.
"""
import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

METHODS = ("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
CURVES = {"256": ec.SECP256R1, "384": ec.SECP384R1, "512": ec.SECP521R1}
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
ISSUER, AUDIENCE = "https://id.example/realm", "weir"


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


class Key:
    """What signs tokens of a method, and what verifies them."""

    def __init__(self, method, secret=None):
        self.method, self.bits = method, method[2:]
        if method[0] == "H":
            self.private = secret or f"a secret for {method} that is long enough for all of them, as it should be 0123".encode()
        else:
            self.private = rsa.generate_private_key(65537, 2048) if method[0] == "R" else ec.generate_private_key(CURVES[self.bits]())

    @property
    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, data, method=None, der=False):
        bits = (method or self.method)[2:]
        if self.method[0] == "H":
            return hmac.new(self.private, data, getattr(hashlib, f"sha{bits}")).digest()
        if self.method[0] == "R":
            return self.private.sign(data, padding.PKCS1v15(), HASHES[bits]())
        signature = self.private.sign(data, ec.ECDSA(HASHES[bits]()))
        r, s = utils.decode_dss_signature(signature)
        size = (self.private.curve.key_size + 7) // 8
        return signature if der else r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def jwk(self, kid=None, **more):
        def number(n, size=None):
            return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))
        n = self.private.public_key().public_numbers()
        if self.method[0] == "R":
            out = {"kty": "RSA", "n": number(n.n), "e": number(n.e)}
        else:
            size = (self.private.curve.key_size + 7) // 8
            out = {"kty": "EC", "crv": {"256": "P-256", "384": "P-384", "512": "P-521"}[self.bits], "x": number(n.x, size), "y": number(n.y, size)}
        return out | ({"kid": kid} if kid else {}) | more

    def token(self, claims=None, header=None, **kw):
        """A token with these claims instead of the right ones; `...` leaves one out."""
        return build(merge({"alg": self.method, "typ": "JWT"}, header), merge(right_claims(), claims), lambda d: self.sign(d, **kw))


def merge(base, more):
    return {k: v for k, v in (base | (more or {})).items() if v is not ...}


def right_claims():
    return {"sub": "ada", "team": "looms", "role": "dev", "rolegroup": "eng", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600}


def build(header, claims, sign):
    """From dicts, or from bytes as they are."""
    parts = [b64(p if isinstance(p, bytes) else json.dumps(p)) for p in (header, claims)]
    signature = sign(".".join(parts).encode())
    return ".".join([*parts, signature if isinstance(signature, str) else b64(signature)])


def flip(text, at):
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


def wrong_algorithms(key):
    """The header's method, and keys used as what they are not."""
    plain = {k: v for k, v in right_claims().items()}
    for name in ("none", "None", "NONE", "nOnE", "", " ", key.method.lower(), key.method + " ", " " + key.method, key.method + "\0", "HS1", "PS256", "EdDSA",
                 "ES256K", "A128KW", "dir", "RS1", key.method + "," + key.method):
        yield f"alg {name!r}, no signature", build({"alg": name}, plain, lambda d: b"")
        yield f"alg {name!r}, signed", build({"alg": name}, plain, key.sign)
    for value in (None, 1, True, [key.method], {"alg": key.method}):
        yield f"alg {value!r}", build({"alg": value}, plain, key.sign)
    yield "no alg", build({"typ": "JWT"}, plain, key.sign)
    for other in METHODS:
        if other[0] == key.method[0] and other != key.method:
            curve_fits = key.method[0] != "E"
            yield f"the same key as {other}", build({"alg": other}, plain, lambda d, o=other: key.sign(d, method=o) if curve_fits else key.sign(d))
            yield f"signed as {other} but named {key.method}", build({"alg": key.method}, plain, lambda d, o=other: key.sign(d, method=o))
    publics = [b"", b"\0", b"null", b"secret", b"None", b"0" * 32] if key.method[0] == "H" else [
        key.pem.encode(), key.pem.strip().encode(), key.pem.replace("\n", "").encode(), key.pem.encode() + b"\0",
        key.private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo), b""]
    for i, public in enumerate(publics):
        for method in ("HS256", "HS384", "HS512"):
            yield f"HMAC {method} with a known text {i}", build({"alg": method}, plain, lambda d, p=public, m=method: hmac.new(p, d, getattr(hashlib, "sha" + m[2:])).digest())
    yield f"{key.method} named, HMAC with the key's text", build({"alg": key.method}, plain, lambda d: hmac.new(publics[0], d, hashlib.sha256).digest())
    for first, second in (("none", key.method), (key.method, "none"), (key.method, key.method)):
        yield f"alg twice: {first}, {second}", build(f'{{"alg":"{first}","alg":"{second}"}}'.encode(), plain, key.sign)
    yield "alg twice, one escaped", build(f'{{"alg":"none","a\\u006cg":"{key.method}"}}'.encode(), plain, key.sign)
    yield "ALG", build({"ALG": key.method}, plain, key.sign)


def wrong_signatures(key, stranger):
    good = key.token()
    head, body, sign = good.split(".")
    other = key.token({"sub": "eve"}).split(".")
    raw = base64.urlsafe_b64decode(sign + "=" * (-len(sign) % 4))
    yield "no signature", f"{head}.{body}."
    yield "no signature and no dot", f"{head}.{body}"
    yield "a signature of zeros", f"{head}.{body}.{b64(bytes(len(raw)))}"
    yield "a signature of As", f"{head}.{body}.{'A' * len(sign)}"
    for at in (0, len(sign) // 2, len(sign) - 2):
        yield f"a bit of the signature at {at}", f"{head}.{body}.{flip(sign, at)}"
    yield "a bit of the claims", f"{head}.{flip(body, 8)}.{sign}"
    yield "a bit of the header", f"{flip(head, 12)}.{body}.{sign}"
    for cut in (1, 2, 4, len(sign) // 2, len(sign) - 4):
        yield f"cut by {cut}", good[:-cut]
    for more in ("A", "AA", "AAAA", "=", "==", ".", ".AAAA", "%00", "+", "/", "~"):
        yield f"followed by {more}", good + more
    yield "the signature twice", good + sign
    yield "the signature of other claims", f"{head}.{body}.{other[2]}"
    yield "the claims of another token", f"{head}.{other[1]}.{sign}"
    yield "a stranger's key", stranger.token()
    yield "a stranger's key and its kid", stranger.token(header={"kid": "k1"})
    yield "the signature reversed", f"{head}.{body}.{b64(raw[::-1])}"
    if key.method[0] == "E":
        half = len(raw) // 2
        yield "ECDSA in DER", key.token(der=True)
        yield "r and s are zero", f"{head}.{body}.{b64(bytes(half * 2))}"
        yield "r and s are exchanged", f"{head}.{body}.{b64(raw[half:] + raw[:half])}"
        one = (1).to_bytes(half, "big")
        yield "r and s are one", f"{head}.{body}.{b64(one * 2)}"
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if len(raw) % 3:
        yield "left-over bits", good[:-1] + last[last.index(good[-1]) + 1]
    if key.method[0] != "H":
        bring = {"jwk": stranger.jwk("k1"), "jku": "http://127.0.0.1:1/set", "x5u": "http://127.0.0.1:1/c", "x5c": ["AAAA"]}
        for name, value in bring.items():
            yield f"its own key by {name}", stranger.token(header={name: value})
        yield "its own key by all of them", stranger.token(header=bring)


def wrong_forms(key):
    good = key.token()
    head, body, sign = good.split(".")
    claims = right_claims()
    yield "two parts", f"{head}.{sign}"
    yield "four parts", good + ".AAAA"
    yield "five parts", f"{head}.{body}.{sign}.{body}.{sign}"
    yield "a dot before", "." + good
    yield "empty header", f".{body}.{sign}"
    yield "empty claims", f"{head}..{sign}"
    yield "only dots", ".."
    yield "quoted", f'"{good}"'
    yield "in brackets", f"[{good}]"
    yield "a scheme twice", f"Bearer {good}"
    yield "a space inside", f"{head}. {body}.{sign}"
    yield "a tab inside", f"{head}.\t{body}.{sign}"
    yield "wrapped", f"{good[:40]} {good[40:]}"
    yield "escaped dots", good.replace(".", "%2E")
    yield "padding in the header", f"{head}=.{body}.{sign}"
    yield "a line end in the claims", build({"alg": key.method}, json.dumps(claims).encode(), key.sign).replace(".", ".%0A", 1)
    yield "upper case", good.upper()
    yield "twice, one behind the other", good + good
    yield "nested, as claims", build({"alg": key.method, "cty": "JWT"}, good.encode(), key.sign)
    yield "nested, as text", build({"alg": key.method, "cty": "JWT"}, json.dumps(good).encode(), key.sign)
    yield "nested and named", key.token(header={"cty": "JWT"})
    for name, header in (("an array", b"[]"), ("a text", b'"HS256"'), ("null", b"null"), ("nothing", b"{}"), ("broken", b'{"alg":'), ("blanks", b"  "),
                         ("a BOM", b"\xef\xbb\xbf" + json.dumps({"alg": key.method}).encode()), ("no UTF-8", b'{"alg":"' + key.method.encode() + b'","x":"\xff"}'),
                         ("a NUL", b'{"alg":"' + key.method.encode() + b'"}\0'), ("two objects", json.dumps({"alg": key.method}).encode() * 2),
                         ("single quotes", b"{'alg':'" + key.method.encode() + b"'}"), ("a comment", b'/**/{"alg":"' + key.method.encode() + b'"}')):
        yield f"the header is {name}", build(header, claims, key.sign)
    text = json.dumps(claims).encode()
    for name, payload in (("an array", b"[" + text + b"]"), ("a text", b'"ada"'), ("null", b"null"), ("nothing", b"{}"), ("broken", text[:-1]), ("blanks", b" "),
                          ("no JSON", b"sub=ada"), ("no UTF-8", text[:-1] + b',"x":"\xc0\xaf"}'), ("a NUL", text + b"\0"), ("two objects", text + text),
                          ("deep", text[:-1] + b',"x":' + b"[" * 40 + b"]" * 40 + b"}"), ("NaN", text[:-1] + b',"x":NaN}'),
                          ("of many members", text[:-1] + b"".join(b',"m%d":1' % i for i in range(300)) + b"}")):
        yield f"the claims are {name}", build({"alg": key.method}, payload, key.sign)
    for name in ("exp", "sub", "iss", "aud", "nbf"):
        twice = text[:-1] + f',"{name}":{json.dumps(claims.get(name, 0))},"{name}":{json.dumps(claims.get(name, 0))}}}'.encode()
        yield f"{name} twice", build({"alg": key.method}, twice, key.sign)
    for name, header in (("crit", {"crit": ["exp"]}), ("empty crit", {"crit": []}), ("b64", {"crit": ["b64"], "b64": False}), ("another type", {"typ": "JWE"}),
                         ("a type that is no text", {"typ": 1}), ("a kid that is no text", {"kid": 1}), ("a kid of null", {"kid": None}), ("a kid too long", {"kid": "k" * 300})):
        yield f"header with {name}", key.token(header=header)
    yield "huge", key.token({"x": "x" * 16000})


def wrong_times(key):
    now = int(time.time())
    for name, value in (("missing", ...), ("over", now - 61), ("long over", 1), ("zero", 0), ("negative", -now), ("null", None), ("a text", str(now + 600)), ("a word", "never"),
                        ("a fraction", now + 600.5), ("a whole fraction", float(now + 600)), ("true", True), ("an array", [now + 600]), ("an object", {"at": now + 600}),
                        ("beyond 64 bits", 10 ** 30), ("almost beyond", 2 ** 63 - 1)):
        yield f"exp {name}", key.token({"exp": value})
    text = json.dumps(right_claims() | {"exp": 0})
    for name, value in (("with an exponent", "4e9"), ("with a plus", f"+{now + 600}"), ("in hex", "0xffffffff"), ("with a nought before", f"0{now + 600}"), ("Infinity", "Infinity")):
        yield f"exp {name}", build({"alg": key.method}, text.replace('"exp": 0', f'"exp": {value}').encode(), key.sign)
    for name, value in (("to come", now + 120), ("far off", 10 ** 11), ("a text", str(now - 60)), ("a fraction", now - 0.5), ("null", None), ("true", True), ("an array", [1]),
                        ("beyond 64 bits", 10 ** 30)):
        yield f"nbf {name}", key.token({"nbf": value})
    for name in ("EXP", "Exp", " exp", "exp ", "expires"):
        yield f"{name!r} instead of exp", key.token({"exp": ..., name: now + 600})


def wrong_claims(key):
    for value in (..., None, "", "n" * 129, "a\nb", "a\0b", "\x7f", [], ["ada"], {}, {"id": "ada"}, True, 1.5, 10 ** 30):
        yield f"sub {value if value is not ... else 'missing'!r:.20}", key.token({"sub": value})
    for name in ("team", "role", "rolegroup"):
        for value in ("", "n" * 129, "a\rb", ["looms"], {"a": 1}, False, 0.5):
            yield f"{name} {value!r:.20}", key.token({name: value})
    yield "SUB", key.token({"sub": ..., "SUB": "ada"})


def wrong_parties(key):
    """For a verifier that names issuer and audience."""
    for value in (..., None, "", ISSUER + "/", ISSUER.upper(), ISSUER[:-1], " " + ISSUER, ISSUER + "\0", "https://id.example", [ISSUER], {"iss": ISSUER}, 1, True):
        yield f"iss {value if value is not ... else 'missing'!r:.40}", key.token({"iss": value})
    for value in (..., None, "", "WEIR", "Weir", "weir ", " weir", "weir2", "wei", "weir\0", "weir,other", "*", [], [""], ["other"], ["other", "another"], [["weir"]], ["weir", 1],
                  [1], [None, "weir"], {"weir": True}, True, 1):
        yield f"aud {value if value is not ... else 'missing'!r:.40}", key.token({"aud": value})
