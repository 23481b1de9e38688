/* SPDX-License-Identifier: MIT */
/*
 * spec/c/h1.c: proto/h1.c against a table of messages, each given whole, in two
 * pieces at every byte, and byte by byte; then what it writes.
 *
 * A case's `want` are lines of the text of h1_model.h, which must all be there,
 * in this order. With an argument, "requests" or "responses", it reads cases
 * from its input, "HEX field-limit count line-limit" each, and writes what
 * becomes of them, for the spec to judge.
 */
#include "h1_model.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define POST_CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define CASE(text) text, sizeof(text) - 1

struct sample {
  const char *data;
  size_t size;
  const char *want;
  unsigned asked;
};

static const struct sample responses[] = {
    /* Framing. */
    {CASE(OK "Content-Length: 5\r\n\r\nhello"),
     "H 200 [OK] 1.1 length keep\nf Content-Length=[5]\nD hello\nE left=0", 0},
    {CASE(OK "Content-Length: 5\r\n\r\nhelloHTTP"), "D hello\nE left=4", 0},
    {CASE(OK "Content-Length: 5\r\n\r\nhell"),
     "D hell\n! ETRUNCATED 42 the connection ended inside the message", 0},
    {CASE(OK "content-LENGTH:0\r\n\r\n"), "H 200 [OK] 1.1 none keep\nE left=0",
     0},
    {CASE(OK "\r\nto the end"),
     "H 200 [OK] 1.1 close close\nD to the end\nE left=0", 0},
    {CASE(OK "\r\n"), "H 200 [OK] 1.1 close close\nE left=0", 0},
    {CASE(OK "Connection: keep-alive\r\n\r\nx"), "H 200 [OK] 1.1 close close",
     0},
    {CASE(OK "Connection: a , close\r\nContent-Length: 0\r\n\r\n"),
     "H 200 [OK] 1.1 none close", 0},
    {CASE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
     "H 200 [OK] 1.0 none close", 0},
    {CASE("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"
          "Content-Length: 0\r\n\r\n"),
     "H 200 [OK] 1.0 none keep", 0},
    {CASE(OK "Content-Length: 9223372036854775807\r\n\r\nx"),
     "H 200 [OK] 1.1 length keep\nD x\n"
     "! ETRUNCATED 57 the connection ended inside the message",
     0},
    {CASE(OK "Content-Length: 9223372036854775808\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: -1\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: +1\r\n\r\nx"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: 0x1\r\n\r\nx"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: 1 1\r\n\r\nx"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: 1, 1\r\n\r\nx"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length:\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
     "H 200 [OK] 1.1 length keep\nD x\nE left=0 length-repeated", 0},
    {CASE(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
     "! EPROTOCOL 55 two Content-Lengths that differ", 0},
    {CASE(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "! EPROTOCOL 64 both Content-Length and Transfer-Encoding", 0},
    {CASE(OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
     "! EPROTOCOL 64 both Content-Length and Transfer-Encoding", 0},
    /* Transfer codings. */
    {CASE(CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext"),
     "H 200 [OK] 1.1 chunked keep\nD hello world\nE left=4", 0},
    {CASE(CHUNKED "0\r\n\r\n"), "H 200 [OK] 1.1 chunked keep\nE left=0", 0},
    {CASE(CHUNKED "a;x=\"y z\"\r\n0123456789\r\n000\r\nA: b\r\nC:\r\n\r\n"),
     "D 0123456789\nt A=[b]\nt C=[]\nE left=0", 0},
    {CASE(CHUNKED "0\r\nContent-Length: 3\r\n\r\n"),
     "t Content-Length=[3]\nE left=0 trailer-field", 0},
    {CASE(CHUNKED "5  \r\nhello\n0\n\n"),
     "D hello\nE left=0 bare-lf,chunk-space", 0},
    {CASE(CHUNKED "5\r\nhell"), "D hell\n! ETRUNCATED", 0},
    {CASE(CHUNKED "5\r\nhello"), "D hello\n! ETRUNCATED", 0},
    {CASE(CHUNKED "5\r\nhello\r\n0\r\n"), "D hello\n! ETRUNCATED", 0},
    {CASE(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n"),
     "D hello\n! EPROTOCOL 55 a chunk is longer than its size", 0},
    {CASE(CHUNKED "5\r\nhello\rX0\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "7fffffffffffffff\r\nx"), "D x\n! ETRUNCATED", 0},
    {CASE(CHUNKED "8000000000000000\r\nx"),
     "! EPROTOCOL 47 a chunk's size is too large", 0},
    {CASE(CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED " 5\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "0x5\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "+5\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "5 5\r\n"), "! EPROTOCOL", 0},
    {CASE(CHUNKED "5;a\rb\r\n"), "! EPROTOCOL 50 a CR without LF", 0},
    {CASE(CHUNKED "5;a\001b\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: gzip, Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     "H 200 [OK] 1.1 chunked keep coded\nD x\nE left=0", 0},
    {CASE(OK "Transfer-Encoding: chunked, gzip\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: gzip\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: xchunked\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding:\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: \vchunked\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "Transfer-Encoding: identity\r\n\r\nx"),
     "H 200 [OK] 1.1 close close\nD x\nE left=0 identity", 0},
    {CASE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
          "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     "H 200 [OK] 1.0 chunked close\nD x\nE left=0 old-chunked", 0},
    /* Messages without a body. */
    {CASE(OK "Content-Length: 5\r\n\r\nHTTP"),
     "H 200 [OK] 1.1 none keep\nE left=4", WEFT_H1_ASKED_HEAD},
    {CASE(OK "Transfer-Encoding: chunked\r\n\r\n"),
     "H 200 [OK] 1.1 none keep\nE left=0", WEFT_H1_ASKED_HEAD},
    {CASE("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
     "H 304 [Not Modified] 1.1 none keep\nE left=0", 0},
    {CASE("HTTP/1.1 204 No Content\r\n\r\n"),
     "H 204 [No Content] 1.1 none keep\nE left=0", 0},
    {CASE("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
     "H 204 [No Content] 1.1 none close\nE left=0 no-body-here", 0},
    {CASE(OK "Content-Length: 5\r\n\r\nbytes"),
     "H 200 [OK] 1.1 none close tunnel\nE left=5 no-body-here",
     WEFT_H1_ASKED_CONNECT},
    {CASE("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"),
     "H 407 [No] 1.1 length keep\nD no\nE left=0", WEFT_H1_ASKED_CONNECT},
    {CASE("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nab"),
     "H 101 [Switching Protocols] 1.1 none close tunnel\nE left=2",
     WEFT_H1_ASKED_UPGRADE},
    {CASE("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
     "! EPROTOCOL 46 an upgrade that nobody asked for", 0},
    /* Informational ones. */
    {CASE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
          "Link: x\r\n\r\nHTTP/1.1 204 No\r\nA: b\r\n\r\n"),
     "I 100 [Continue] 1.1 none keep\nI 103 [Early Hints] 1.1 none keep\n"
     "f Link=[x]\nH 204 [No] 1.1 none keep\nf A=[b]\nE left=0",
     0},
    {CASE("HTTP/1.1 100 Continue\r\n\r\n"),
     "I 100 [Continue] 1.1 none keep\n"
     "! ETRUNCATED",
     0},
    /* The status line. */
    {CASE("HTTP/1.1 200\r\n\r\n"),
     "H 200 [] 1.1 close close\n"
     "E left=0 no-reason",
     0},
    {CASE("HTTP/1.1 200 \r\n\r\n"), "H 200 [] 1.1 close close\nE left=0", 0},
    {CASE("HTTP/1.1  200  Very\tgood \r\n\r\n"),
     "H 200 [Very\\x09good] 1.1 close close\nE left=0 start-line-space", 0},
    {CASE("HTTP/1.1 200 \xc3\xa9\r\n\r\n"),
     "H 200 [\\xc3\\xa9] 1.1 close close", 0},
    {CASE("\r\n\nHTTP/1.1 200 OK\r\n\r\n"),
     "H 200 [OK] 1.1 close close\nE left=0 bare-lf,leading-line", 0},
    {CASE("HTTP/1.1 999 Denied\r\n\r\n"),
     "H 999 [Denied] 1.1 close close\n"
     "E left=0 odd-status",
     0},
    {CASE("HTTP/1.3 200 OK\r\n\r\n"),
     "H 200 [OK] 1.1 close close\n"
     "E left=0 odd-version",
     0},
    {CASE("HTTP/1.1 099 OK\r\n\r\n"), "! EPROTOCOL 9 a status is three digits",
     0},
    {CASE("HTTP/1.1 20 OK\r\n\r\n"), "! EPROTOCOL 9", 0},
    {CASE("HTTP/1.1 2000 OK\r\n\r\n"), "! EPROTOCOL 9", 0},
    {CASE("HTTP/1.1 200OK\r\n\r\n"), "! EPROTOCOL 9", 0},
    {CASE("HTTP/2.0 200 OK\r\n\r\n"), "! EPROTOCOL 0", 0},
    {CASE("HTTP/1.10 200 OK\r\n\r\n"), "! EPROTOCOL 8", 0},
    {CASE("http/1.1 200 OK\r\n\r\n"), "! EPROTOCOL 0", 0},
    {CASE("HTTP/1.1 200 O\001K\r\n\r\n"), "! EPROTOCOL 14", 0},
    {CASE("HTTP/1.1 200 O\rK\r\n\r\n"), "! EPROTOCOL 14 a CR without LF", 0},
    {CASE("<html>\n"), "! EPROTOCOL 0 no HTTP version where one is due", 0},
    {CASE("HTTP/1.1 200 O"), "! ETRUNCATED 14", 0},
    {CASE(""), "! ETRUNCATED 0 the connection ended before the message began",
     0},
    /* Fields. */
    {CASE(OK "A:b\r\na: \t c \t\r\nB:\r\nX|y: d: e\r\n\r\n"),
     "f A=[b]\nf a=[c]\nf B=[]\nf X|y=[d: e]\nE left=0", 0},
    {CASE(OK "A: one\r\n two\r\n\tthree\r\nB: c\r\n\r\n"),
     "f A=[one two\\x09three]\nf B=[c]\nE left=0 obs-fold", 0},
    {CASE(OK "A:\r\n b\r\n\r\n"), "f A=[b]\nE left=0 obs-fold", 0},
    {CASE(OK "A: b\r\n \r\n\r\n"), "f A=[b]\nE left=0 obs-fold", 0},
    {CASE(OK "A : b\r\nB\t :c\r\n\r\n"),
     "f A=[b]\nf B=[c]\nE left=0 space-before-colon", 0},
    {CASE(OK "A: b\nB: c\n\nx"), "f A=[b]\nf B=[c]\nD x\nE left=0 bare-lf", 0},
    {CASE(OK "A: b\r\nnothing\r\n c\r\nB: d\r\n\r\n"),
     "f A=[b]\nf B=[d]\nE left=0 obs-fold,no-colon", 0},
    {CASE(OK "Set-Cookie: a=\xff\r\n\r\n"), "f Set-Cookie=[a=\\xff]", 0},
    {CASE(OK " A: b\r\n\r\n"),
     "! EPROTOCOL 17 a space at the start of the first field", 0},
    {CASE(OK ": b\r\n\r\n"), "! EPROTOCOL 17 a field without a name", 0},
    {CASE(OK " : b\r\n\r\n"), "! EPROTOCOL 17", 0},
    {CASE(OK "A B: b\r\n\r\n"), "! EPROTOCOL 17", 0},
    {CASE(OK "A\xe9: b\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "A\0: b\r\n\r\n"), "! EPROTOCOL 18 a NUL", 0},
    {CASE(OK "A: b\0c\r\n\r\n"), "! EPROTOCOL 21 a NUL", 0},
    {CASE(OK "A: b\rc\r\n\r\n"), "! EPROTOCOL 21 a CR without LF", 0},
    {CASE(OK "A: b\r\r\n\r\n"), "! EPROTOCOL 21 a CR without LF", 0},
    {CASE(OK "A: b\001c\r\n\r\n"), "! EPROTOCOL 21", 0},
    {CASE(OK "A: b\177c\r\n\r\n"), "! EPROTOCOL 21", 0},
    {CASE(OK "A: b\r\n\rX\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(OK "A: b\r\n"), "! ETRUNCATED 23", 0},
};

static const struct sample requests[] = {
    {CASE(GET "\r\n"), "H GET [/] 1.1 none keep\nf Host=[a]\nE left=0", 0},
    {CASE(GET "\r\n" GET "Connection: close\r\n\r\nx"),
     "E left=47\nH GET [/] 1.1 none close\nE left=1", 0},
    {CASE(POST "Content-Length: 2\r\n\r\nab" GET "\r\n"),
     "H POST [/] 1.1 length keep\nD ab\nH GET [/] 1.1 none keep\nE left=0", 0},
    {CASE(POST_CHUNKED "3\r\nabc\r\n0\r\nA: b\r\n\r\n"),
     "H POST [/] 1.1 chunked keep\nD abc\nt A=[b]\nE left=0", 0},
    {CASE("\r\n" GET "\r\n"),
     "H GET [/] 1.1 none keep\n"
     "E left=0 leading-line",
     0},
    {CASE("BREW * HTTP/1.1\r\n\r\n"),
     "H BREW [*] 1.1 none keep\n"
     "E left=0 no-host",
     0},
    {CASE("CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
     "H CONNECT [[::1]:443] 1.1 none keep", 0},
    {CASE("GET http://u@a:1/?x HTTP/1.0\r\n\r\n"),
     "H GET [http://u@a:1/?x] 1.0 none close\nE left=0", 0},
    {CASE("GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), "! EPROTOCOL 4", 0},
    {CASE("CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), "! EPROTOCOL 8", 0},
    {CASE("GET  / HTTP/1.1\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE("GET / HTTP/1.1 \r\n\r\n"), "! EPROTOCOL 14", 0},
    {CASE("GET /\001 HTTP/1.1\r\n\r\n"), "! EPROTOCOL 5", 0},
    {CASE("GET /\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE("G\xc3T / HTTP/1.1\r\n\r\n"), "! EPROTOCOL 1", 0},
    {CASE(GET "Host: a\r\n\r\n"), "! EPROTOCOL 34 more than one Host", 0},
    {CASE("GET / HTTP/1.1\nHost: a\r\n\r\n"),
     "! EPROTOCOL 0 a line ends without CR", 0},
    {CASE(GET "A : b\r\n\r\n"), "! EPROTOCOL 25 a space before", 0},
    {CASE(GET "A: b\r\n c\r\n\r\n"), "! EPROTOCOL 31 a folded field", 0},
    {CASE(GET "A\r\n\r\n"), "! EPROTOCOL 25 a field without a colon", 0},
    {CASE(POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "! EPROTOCOL", 0},
    {CASE(POST "Transfer-Encoding: identity\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     "! EPROTOCOL", 0},
    {CASE(POST_CHUNKED "3 \r\nabc\r\n0\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(POST_CHUNKED "3\nabc\r\n0\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(POST_CHUNKED "3\r\nabc\n0\r\n\r\n"), "! EPROTOCOL", 0},
    {CASE(POST_CHUNKED "0\r\nHost: b\r\n\r\n"), "! EPROTOCOL", 0},
};

/* Limits of 30 bytes of start line, 120 of head, 12 before a chunk, 20 of
 * extensions, 2 informational; of 4 fields, 40 bytes each. */
static const struct sample limited[] = {
    {CASE("HTTP/1.1 200 234567890123456\r\n\r\n"), "H 200", 0},
    {CASE("HTTP/1.1 200 23456789012345678901\r\n\r\n"),
     "! ELIMIT 32 the start line is too long", 0},
    {CASE("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
     "! ELIMIT 32 the start line is too long", 0},
    {CASE(OK "A:\r\nB:\r\nC:\r\nD:\r\n\r\n"), "f D=[]", 0},
    {CASE(OK "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n"), "! ELIMIT", 0},
    {CASE(OK "A: 56789012345678901234567890123456789012345678\r\n\r\n"),
     "! ELIMIT 61 a field is too long", 0},
    {CASE(OK "A: 5678901234567890\r\n 12345678901234567890123\r\n\r\n"),
     "! ELIMIT", 0},
    {CASE(OK "A: 4567890123456789012345678901234\r\n"
             "A: 4567890123456789012345678901234\r\n"
             "A: 4567890123456789012345678901234\r\n\r\n"),
     "! ELIMIT 120 the head is too long", 0},
    {CASE("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
          "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
          "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
          "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
     "! ELIMIT 120 the head is too long", 0},
    {CASE(CHUNKED "1;345678901234\r\nx\r\n"),
     "! ELIMIT 59 the line before a chunk is too long", 0},
    {CASE(CHUNKED "1;3456789\r\nx\r\n1;3456789\r\nx\r\n1;345678\r\nx\r\n"),
     "! ELIMIT", 0},
    {CASE("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n"),
     "I 100\nI 100\n! ELIMIT", 0},
};

/* Whether the lines of `want` begin lines of `text`, in this order. */
static int has(const char *text, const char *want) {
  while (*want != 0) {
    size_t size = strcspn(want, "\n");
    while (strncmp(text, want, size) != 0) {
      text = strchr(text, '\n');
      if (text == NULL || *++text == 0)
        return 0;
    }
    want += size;
    want += *want == '\n';
  }
  return 1;
}

static int failures;

static void differ(const struct sample *sample, const char *text,
                   const char *why) {
  printf("%s:\n%.*s\nwanted:\n%s\ngot:\n%s\n", why, (int)sample->size,
         sample->data, sample->want, text);
  failures++;
}

static void try_splits(const struct sample *sample,
                       const struct model_input *input, const char *whole) {
  size_t size;
  for (size = 1; size <= sample->size; size++) {
    char *once = model_parse(input, model_once, &size);
    char *each = model_parse(input, model_each, &size);
    if (strcmp(once, whole) != 0)
      differ(sample, once, "in two pieces");
    if (strcmp(each, whole) != 0)
      differ(sample, each, "in pieces");
    free(once);
    free(each);
  }
}

static void try_all(const struct sample *samples, size_t count,
                    struct model_input input) {
  size_t i, all = (size_t)-1;
  for (i = 0; i < count; i++) {
    char *whole;
    input.asked = samples[i].asked;
    input.data = samples[i].data;
    input.size = samples[i].size;
    whole = model_parse(&input, model_each, &all);
    if (!has(whole, samples[i].want))
      differ(&samples[i], whole, "whole");
    try_splits(&samples[i], &input, whole);
    free(whole);
  }
}

#define TRY_ALL(samples, input) \
  try_all(samples, sizeof(samples) / sizeof(samples[0]), input)

/* Every allocation fails once: an error, no leak, no crash. */
static void survives_want_of_memory(void) {
  static const char text[] = CHUNKED "5\r\nhello\r\n0\r\nA: b\r\nC : d\r\n\r\n";
  size_t n, step, i;
  for (n = 1; n < 100; n++) {
    for (step = 1; step < sizeof(text); step += 7) {
      struct weft_mem mem = {0};
      struct weft_h1_event event = {WEFT_H1_MORE, NULL, 0};
      struct weft_h1 h1;
      ptrdiff_t took = 0;
      weft_h1_init(&h1, WEFT_H1_RESPONSES, &mem);
      mem.fail_after = n;
      for (i = 0; i < sizeof(text) - 1 && took >= 0; i += (size_t)took) {
        size_t size = sizeof(text) - 1 - i;
        took = weft_h1_feed(&h1, text + i, size < step ? size : step, &event);
      }
      CHECK(took >= 0 || took == -ENOMEM);
      CHECK(took < 0 || mem.fail_after > 0);
      weft_h1_deinit(&h1);
      CHECK(mem.blocks == 0 && mem.bytes == 0);
    }
  }
}

/* ---- Writing ------------------------------------------------------------- */

static struct weft_mem mem;
static struct weft_buffer out;

static struct weft_h1_text text_of(const char *text) {
  struct weft_h1_text it = {text, strlen(text)};
  return it;
}

static void add(struct weft_fields *fields, const char *name,
                const char *value) {
  CHECK(weft_fields_add(fields, name, strlen(name), value, strlen(value)) == 0);
}

static void check_out(const char *want) {
  CHECK(weft_buffer_size(&out) == strlen(want));
  CHECK(*want == 0 || !memcmp(weft_buffer_data(&out), want, strlen(want)));
  weft_buffer_take(&out, &mem, weft_buffer_size(&out));
}

static void writes(void) {
  struct weft_fields fields, trailers;
  struct weft_h1_request request = {0};
  const char *what = NULL;
  weft_fields_init(&fields, &mem);
  weft_fields_init(&trailers, &mem);
  request.method = text_of("POST");
  request.target = text_of("/a?b");
  request.fields = &fields;
  CHECK(weft_h1_write_head(&out, &mem, &request, &what) == WEFT_EFIELD);
  add(&fields, "Host", "a");
  add(&fields, "X", "");
  CHECK(weft_h1_write_head(&out, &mem, &request, &what) == 0);
  check_out("POST /a?b HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n");
  request.framing = WEFT_H1_LENGTH;
  request.length = 12;
  CHECK(weft_h1_write_head(&out, &mem, &request, &what) == 0);
  check_out("POST /a?b HTTP/1.1\r\nHost: a\r\nX: \r\nContent-Length: 12"
            "\r\n\r\n");
  request.framing = WEFT_H1_CHUNKED;
  CHECK(weft_h1_write_head(&out, &mem, &request, &what) == 0);
  CHECK(weft_h1_write_chunk_head(&out, &mem, 0) == WEFT_EMESSAGE);
  CHECK(weft_h1_write_chunk_head(&out, &mem, 255) == 0);
  CHECK(weft_h1_write_chunk_tail(&out, &mem) == 0);
  CHECK(weft_h1_write_end(&out, &mem, NULL, &what) == 0);
  check_out("POST /a?b HTTP/1.1\r\nHost: a\r\nX: \r\n"
            "Transfer-Encoding: chunked\r\n\r\nff\r\n\r\n0\r\n\r\n");
  add(&trailers, "Digest", "x");
  CHECK(weft_h1_write_end(&out, &mem, &trailers, &what) == 0);
  check_out("0\r\nDigest: x\r\n\r\n");
  add(&trailers, "HOST", "x");
  CHECK(weft_h1_write_end(&out, &mem, &trailers, &what) == WEFT_EFIELD);
  check_out("");
  weft_fields_deinit(&fields);
  weft_fields_deinit(&trailers);
}

static void refused(struct weft_h1_request *request, int code) {
  const char *what = NULL;
  CHECK(weft_h1_write_head(&out, &mem, request, &what) == code);
  CHECK(what != NULL && weft_buffer_size(&out) == 0);
}

static void refuses(void) {
  static const char *const methods[] = {"", "G T", "GET\r\n", "G\xc3T"};
  static const char *const targets[] = {
      "", "/ HTTP/1.1\r\nA: b", "/\n", "/\t", "/\xc3\xa9", "/\177", "/ "};
  struct weft_fields fields;
  struct weft_h1_request request = {0};
  size_t i;
  weft_fields_init(&fields, &mem);
  add(&fields, "Host", "a");
  request.fields = &fields;
  request.target = text_of("/");
  for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
    request.method = text_of(methods[i]);
    refused(&request, WEFT_EMESSAGE);
  }
  request.method = text_of("GET");
  for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
    request.target = text_of(targets[i]);
    refused(&request, WEFT_EMESSAGE);
  }
  request.target = text_of("/");
  request.framing = WEFT_H1_UNTIL_CLOSE;
  refused(&request, WEFT_EMESSAGE);
  request.framing = WEFT_H1_NONE;
  add(&fields, "Content-Length", "5");
  refused(&request, WEFT_EFIELD);
  request.framing = WEFT_H1_CHUNKED;
  refused(&request, WEFT_EFIELD);
  request.framing = WEFT_H1_LENGTH;
  request.length = 4;
  refused(&request, WEFT_EFIELD);
  request.length = 5;
  add(&fields, "content-length", "5");
  refused(&request, WEFT_EFIELD);
  weft_fields_remove(&fields, "Content-Length", 14);
  add(&fields, "transfer-Encoding", "chunked");
  refused(&request, WEFT_EFIELD);
  weft_fields_remove(&fields, "Transfer-Encoding", 17);
  add(&fields, "host", "b");
  refused(&request, WEFT_EFIELD);
  weft_fields_remove(&fields, "HOST", 4);
  add(&fields, "host", "b");
  CHECK(weft_fields_open(&fields, "A", 1) == 0); /* as only a parser does */
  CHECK(weft_fields_extend(&fields, "b\r\nc", 4) == 0);
  refused(&request, WEFT_EFIELD);
  weft_fields_deinit(&fields);
}

/* ---- Cases of others ----------------------------------------------------- */

static size_t from_hex(char *hex) {
  size_t n;
  unsigned byte;
  for (n = 0; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
    hex[n] = (char)byte;
  return n;
}

static void read_cases(enum weft_h1_role role) {
  static char hex[400000];
  struct model_input input = {0};
  size_t all = (size_t)-1;
  input.role = role;
  input.limits =
      (struct weft_h1_limits){0, WEFT_FIELDS_TOTAL_MAX, WEFT_H1_CHUNK_LINE_MAX,
                              WEFT_H1_EXTENSIONS_MAX, 16};
  input.fields.total = WEFT_FIELDS_TOTAL_MAX;
  while (scanf("%399999s %zu %zu %zu", hex, &input.fields.field,
               &input.fields.count, &input.limits.start_line) == 4) {
    size_t one = 1;
    char *whole, *bytes;
    input.data = hex;
    input.size = from_hex(hex);
    whole = model_parse(&input, model_each, &all);
    bytes = model_parse(&input, model_each, &one);
    CHECK(strcmp(whole, bytes) == 0);
    printf("%s.\n", whole);
    free(whole);
    free(bytes);
  }
}

int main(int argc, char **argv) {
  struct model_input input = {0};
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  if (argc > 1) {
    read_cases(strcmp(argv[1], "requests") == 0 ? WEFT_H1_REQUESTS
                                                : WEFT_H1_RESPONSES);
    return 0;
  }
  TRY_ALL(responses, input);
  input.limits = (struct weft_h1_limits){30, 120, 12, 20, 2};
  input.fields = (struct weft_fields_limits){4, 40, 100};
  TRY_ALL(limited, input);
  memset(&input, 0, sizeof(input));
  input.role = WEFT_H1_REQUESTS;
  TRY_ALL(requests, input);
  survives_want_of_memory();
  writes();
  refuses();
  CHECK(mem.blocks == 0 && mem.bytes == 0);
  return failures > 0;
}
