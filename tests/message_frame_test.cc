#include "rules/message_frame.h"

#include <string>

#include <gtest/gtest.h>

namespace fettle {
namespace {

using State = MessageFrame::State;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

constexpr char kInvite[] =
    "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP b\r\nContent-Length: 4\r\n\r\n";

struct Case {
  const char* name;
  std::string text;
  State state;
  uint64_t size = 0;
  bool begun = false;
};

void judge(Framing framing, const Case& one) {
  SCOPED_TRACE(one.name);
  const MessageFrame frame = read_frame(framing, bytes_of(one.text));
  EXPECT_EQ(frame.state, one.state);
  EXPECT_EQ(frame.size, one.size);
  EXPECT_EQ(frame.state == State::kPart && frame.begun, one.begun);
}

TEST(MessageFrame, TextEndsWhereItSays) {
  const std::string invite = kInvite;
  const uint64_t size = invite.size() + 4;
  const Case cases[] = {
      {"whole", invite + "body", State::kWhole, size},
      {"and the next", invite + "bodyINVITE", State::kWhole, size},
      {"no body yet", invite, State::kPart, size, false},
      {"some of the body", invite + "bo", State::kPart, size, true},
      {"headers cut", "INVITE sip:a@b SIP/2.0\r\nVia: x\r\n", State::kPart},
      {"headers cut within the empty line", "INVITE sip:a@b SIP/2.0\r\nl: 0\r\n\r", State::kPart},
      {"start line cut", "INV", State::kPart},
      {"bare line feeds", "SIP/2.0 200 OK\nl: 2\n\nab", State::kWhole, 23},
      {"SIP without a length", "SIP/2.0 200 OK\r\nVia: x\r\n\r\n", State::kUnknown},
      {"two lengths", "SIP/2.0 200 OK\r\nl: 2\r\nl: 2\r\n\r\nab", State::kUnknown},
      {"a length that is no number", "SIP/2.0 200 OK\r\nl: x\r\n\r\nab", State::kUnknown},
      {"keep-alive", "\r\n\r\n", State::kWhole, 4},
      {"keep-alive and a message", "\r\nINVITE sip:a@b SIP/2.0\r\n", State::kWhole, 2},
  };
  for (const Case& one : cases) judge(Framing::kText, one);
}

TEST(MessageFrame, HttpAndRtspWithoutABody) {
  const Case cases[] = {
      {"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", State::kWhole, 27},
      {"an answer that ends with the connection", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
       State::kUnknown},
      {"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
       State::kUnknown},
      {"chunked, and a length",
       "POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: x\r\n\r\nab", State::kUnknown},
      {"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", State::kWhole,
       50},
      {"no content", "HTTP/1.1 204 No Content\r\n\r\n", State::kWhole, 27},
      {"to be continued", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", State::kWhole, 25},
      {"ringing is no HTTP", "SIP/2.0 180 Ringing\r\nl: 1\r\n\r\n", State::kPart, 30, false},
      {"RTSP", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", State::kWhole, 28},
      {"RTSP, asked", "OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", State::kWhole, 31},
      {"a length of 2^50", "PUT / HTTP/1.1\r\nContent-Length: 1125899906842624\r\n\r\n",
       State::kPart, 1125899906842624 + 52, false},
  };
  for (const Case& one : cases) judge(Framing::kText, one);
}

TEST(MessageFrame, WhatIsNoMessageIsSeenEarly) {
  const Case cases[] = {
      {"binary", {'\x16', '\x03', '\x01', '\x02'}, State::kUnknown},
      {"another protocol", "EHLO mail.example\r\n", State::kUnknown},
      {"a version alone", "HTTP/1.1\r\n\r\n", State::kUnknown},
      {"no target", "GET HTTP/1.1\r\n\r\n", State::kUnknown},
      {"no status", "SIP/2.0 abc OK\r\nl: 0\r\n\r\n", State::kUnknown},
      {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", State::kUnknown},
      {"a line without end", std::string(9000, 'a'), State::kUnknown},
  };
  for (const Case& one : cases) judge(Framing::kText, one);
}

TEST(MessageFrame, DnsIsBehindItsLength) {
  const std::string header("\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12);
  const Case cases[] = {
      {"whole", std::string("\0\x0c", 2) + header, State::kWhole, 14},
      {"and the next", std::string("\0\x0c", 2) + header + std::string("\0", 1), State::kWhole, 14},
      {"half a length", std::string("\0", 1), State::kPart},
      {"a length", std::string("\0\x0c", 2), State::kPart, 14, false},
      {"some", std::string("\0\x0c\x12", 3), State::kPart, 14, true},
      {"shorter than a header", std::string("\0\x0b", 2) + header, State::kUnknown},
  };
  for (const Case& one : cases) judge(Framing::kDns, one);
}

TEST(MessageFrame, WhereOneBeginsIsTold) {
  EXPECT_TRUE(begins_message(Framing::kText, bytes_of("SIP/2.0 200 OK\r\n")));
  EXPECT_TRUE(begins_message(Framing::kText, bytes_of("GET / HTTP/1.0\n")));
  EXPECT_FALSE(begins_message(Framing::kText, bytes_of("GET / HTTP/1.0")));
  EXPECT_FALSE(begins_message(Framing::kText, bytes_of("\r\nGET / HTTP/1.0\r\n")));
  EXPECT_FALSE(begins_message(Framing::kText, bytes_of("c=IN IP4 10.9.1.2\r\n")));
  std::string dns("\0\x0c\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", 14);
  EXPECT_TRUE(begins_message(Framing::kDns, bytes_of(dns)));
  EXPECT_FALSE(begins_message(Framing::kDns, bytes_of(dns + "x")));
  EXPECT_FALSE(begins_message(Framing::kDns, bytes_of(dns.substr(0, 13))));
  dns[4] = '\x28';  // an update
  EXPECT_FALSE(begins_message(Framing::kDns, bytes_of(dns)));
}

}  // namespace
}  // namespace fettle
