// Rules that edit messages whole in TCP streams: however a message is cut, its length follows, and
// what cannot be edited whole stays as it was.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "core/checksum.h"
#include "tests/rule_stream.h"

namespace fettle::testing {
namespace {

constexpr uint8_t kAck = 0x10, kPsh = 0x08;

constexpr const char* kText = R"(
[table.inside]
"10.9.1.2" = "198.51.100.1"
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ translate = "inside", at = "anywhere", as = "text" }, { content-length = true }]
)";

constexpr const char* kDns = R"(
[table.inside]
"10.9.1.2" = "198.51.100.1"
[[rule]]
match = { protocol = "tcp" }
steps = [{ dns = "inside" }]
)";

std::string message(const std::string& address, const std::string& body) {
  return "INVITE sip:b@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/TCP " + address +
         ":5062\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string dns(const std::string& message) {
  std::string out;
  out += static_cast<char>(message.size() >> 8);
  out += static_cast<char>(message.size());
  return out + message;
}

// One end's bytes on their way through fettle, which holds segments as long as it is told to.
class Sender {
 public:
  Sender(const char* rules, uint16_t port = 5060) : stream_(rules), port_(port) {
    offer({.seq = seq_ - 1, .flags = 0x02}, false);
    offer({.seq = 0, .ack = seq_, .flags = 0x12}, false, 1);
  }

  // `more`: without PSH, as the segment of a write that goes on.
  void send(const std::string& data, bool more = false) {
    const auto flags = static_cast<uint8_t>(kAck | (more ? 0 : kPsh));
    Wire wire{.seq = seq_, .ack = 1, .flags = flags, .data = data};
    seq_ += static_cast<uint32_t>(data.size());
    if (!offer(wire, true)) waiting_.push_back(std::move(wire));
    if (stream_.output.advanced) go_on();
  }
  void wait(uint32_t milliseconds) {
    now_ += milliseconds;
    while (go_on()) {
    }
  }
  size_t waiting() const { return waiting_.size(); }
  // What the other end has got, without gaps.
  std::string received() const {
    std::string out;
    for (const auto& [at, data] : got_) {
      if (at > out.size()) break;
      if (at + data.size() > out.size()) out += data.substr(out.size() - at);
    }
    return out;
  }

 private:
  static constexpr uint32_t kStart = 1000;

  bool offer(const Wire& wire, bool tracked, uint32_t direction = 0) {
    Bytes bytes = build(wire, false, 1, direction);
    set_port(bytes, direction);
    const StreamAction action = stream_.offer(std::move(bytes), now_);
    if (action == StreamAction::kHold) return false;
    if (!tracked) return true;
    EXPECT_TRUE(action == StreamAction::kPass || action == StreamAction::kReplace);
    for (const auto& left : stream_.left) {
      std::string& known = got_[left.seq - kStart];
      if (left.data.size() > known.size()) known = left.data;
    }
    return true;
  }

  void set_port(Bytes& bytes, uint32_t direction) const {
    const Packet packet = parse(bytes);
    const size_t at = packet.transport + (direction == 0 ? 2 : 0);
    store_be16(&bytes[at], port_);
    store_be16(&bytes[packet.transport + 16], 0);
    const uint16_t sum = full_transport_checksum(parse(bytes));
    store(&bytes[packet.transport + 16], sum);
  }

  bool go_on() {
    bool any = false;
    for (bool again = true; again;) {
      again = false;
      for (size_t i = 0; i < waiting_.size(); ++i) {
        if (!offer(waiting_[i], true)) continue;
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
        again = any = true;
        break;
      }
    }
    return any;
  }

  Stream stream_;
  uint16_t port_;
  uint32_t seq_ = kStart, now_ = 5000;
  std::vector<Wire> waiting_;
  std::map<uint32_t, std::string> got_;
};

const std::string kOld = message("10.9.1.2", "c=IN IP4 10.9.1.2\r\n") + "\r\n\r\n" +
                         message("10.9.1.23", "") + message("10.9.1.2", "10.9.1.2 and 10.9.1.2");
const std::string kNew = message("198.51.100.1", "c=IN IP4 198.51.100.1\r\n") + "\r\n\r\n" +
                         message("10.9.1.23", "") +
                         message("198.51.100.1", "198.51.100.1 and 198.51.100.1");

TEST(StreamMessages, OneCutAnywhere) {
  for (size_t cut = 1; cut < kOld.size(); ++cut) {
    Sender sender(kText);
    sender.send(kOld.substr(0, cut));
    sender.send(kOld.substr(cut));
    ASSERT_EQ(sender.received(), kNew) << "cut at " << cut;
    ASSERT_EQ(sender.waiting(), 0u);
  }
}

TEST(StreamMessages, CutsAtRandom) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    Sender sender(kText);
    const uint32_t longest = 1 + pick(random, 100);
    for (size_t at = 0; at < kOld.size();) {
      const size_t size = std::min<size_t>(1 + pick(random, longest), kOld.size() - at);
      sender.send(kOld.substr(at, size), pick(random, 2) == 0);
      at += size;
    }
    ASSERT_EQ(sender.received(), kNew) << "seed " << seed;
  }
}

TEST(StreamMessages, SipKnowsWhereItsAddressesAre) {
  const auto text = [](const std::string& address, size_t length) {
    return "INVITE sip:b@203.0.113.9 SIP/2.0\r\nv: SIP/2.0/TCP " + address +
           "\r\nSubject: 10.9.1.2\r\nc: application/sdp\r\nl: " + std::to_string(length) +
           "\r\n\r\ns=10.9.1.2\r\nc=IN IP4 " + address + "\r\n";
  };
  const std::string old = text("10.9.1.2", 31) + text("10.9.1.2", 31);
  for (size_t cut = 1; cut < old.size(); cut += 7) {
    Sender sender(R"(
[table.inside]
"10.9.1.2" = "198.51.100.1"
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ sip = "inside" }]
)");
    sender.send(old.substr(0, cut));
    sender.send(old.substr(cut));
    ASSERT_EQ(sender.received(), text("198.51.100.1", 35) + text("198.51.100.1", 35)) << cut;
  }
}

TEST(StreamMessages, ASessionDescriptionInWhateverBringsIt) {
  Sender sender(R"(
[table.inside]
"10.9.1.2" = "198.51.100.1"
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ sdp = "inside" }]
)");
  sender.send(
      "RTSP/1.0 200 OK\r\nX: 10.9.1.2\r\nContent-Type: application/sdp\r\nContent-Length: 19");
  sender.send("\r\n\r\nc=IN IP4 10.9.1.2\r\nRTSP/1.0 200 OK\r\n\r\n");
  EXPECT_EQ(sender.received(),
            "RTSP/1.0 200 OK\r\nX: 10.9.1.2\r\nContent-Type: application/sdp\r\nContent-Length: 23"
            "\r\n\r\nc=IN IP4 198.51.100.1\r\nRTSP/1.0 200 OK\r\n\r\n");
}

TEST(StreamMessages, AMessageWaitsForItsRestAndNoLonger) {
  const std::string whole = message("10.9.1.2", "10.9.1.2");
  Sender sender(kText);
  sender.send(whole.substr(0, whole.size() - 4));
  EXPECT_EQ(sender.waiting(), 1u);
  EXPECT_EQ(sender.received(), "");
  sender.wait(39);
  EXPECT_EQ(sender.waiting(), 1u);
  sender.wait(1);
  EXPECT_EQ(sender.received(), whole.substr(0, whole.size() - 4)) << "none of it is edited";
  sender.send(whole.substr(whole.size() - 4) + whole);
  EXPECT_EQ(sender.received(), whole + message("198.51.100.1", "198.51.100.1"))
      << "where it ends was known";
}

TEST(StreamMessages, ALongBodyIsLetBe) {
  const std::string big = message("10.9.1.2", std::string(40000, 'x') + " 10.9.1.2 ");
  const std::string small = message("10.9.1.2", "10.9.1.2");
  Sender sender(kText);
  for (size_t at = 0; at < big.size(); at += 1000) sender.send(big.substr(at, 1000), true);
  EXPECT_EQ(sender.waiting(), 0u);
  sender.send(small);
  EXPECT_EQ(sender.received(), big + message("198.51.100.1", "198.51.100.1"));
}

TEST(StreamMessages, WhatIsNoMessageIsLetBeUntilOneBegins) {
  const std::string whole = message("10.9.1.2", "10.9.1.2");
  Sender sender(kText);
  const std::string other = "220 10.9.1.2 ready\r\n";
  sender.send(other);
  sender.send(whole);
  EXPECT_EQ(sender.received(), other + message("198.51.100.1", "198.51.100.1"));
}

TEST(StreamMessages, AnAnswerToHeadHasNoBody) {
  const std::string head = "HTTP/1.1 200 OK\r\nServer: 10.9.1.2\r\nContent-Length: 5000\r\n\r\n";
  const std::string got =
      "HTTP/1.1 200 OK\r\nServer: 10.9.1.2\r\nContent-Length: 8\r\n\r\n10.9.1.2";
  Sender sender(kText);
  sender.send(head);
  EXPECT_EQ(sender.waiting(), 1u);
  sender.wait(40);
  sender.send(got);
  EXPECT_EQ(
      sender.received(),
      head + "HTTP/1.1 200 OK\r\nServer: 198.51.100.1\r\nContent-Length: 12\r\n\r\n198.51.100.1");
}

TEST(StreamMessages, OtherRulesLookAtWholeMessagesToo) {
  Sender sender(R"(
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ replace = 'body', with = 'a longer body' }]
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ content-length = true }]
)");
  const std::string whole = message("a", "body");
  sender.send("no body\r\n");
  sender.send(whole.substr(0, whole.size() - 2));
  sender.send(whole.substr(whole.size() - 2));
  EXPECT_EQ(sender.received(), "no a longer body\r\n" + message("a", "a longer body"));
}

TEST(StreamMessages, ANumberThatAnotherStepReplacesIsNotMended) {
  Sender sender(R"(
[[rule]]
match = { protocol = "tcp", dst-port = 5060 }
steps = [{ replace = 'Content-Length: \d+', with = 'Content-Length: 1' },
         { replace = 'body', with = 'a longer body' }, { content-length = true }]
)");
  sender.send(message("a", "body"));
  EXPECT_EQ(sender.received(), message("a", "body")) << "all of it or nothing";
}

// A question for an address's name, the answer with the address: names grow, lengths follow.
const std::string kHeader("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
// A name, then type PTR and class IN.
std::string pointer_question(std::initializer_list<std::string> labels) {
  std::string out;
  for (const std::string& label : labels) out += static_cast<char>(label.size()) + label;
  return out + std::string("\0\0\x0c\0\1", 5);
}
const std::string kOldName = pointer_question({"2", "1", "9", "10", "in-addr", "arpa"});
const std::string kNewName = pointer_question({"1", "100", "51", "198", "in-addr", "arpa"});

TEST(StreamMessages, DnsBehindItsLength) {
  const std::string other = dns(kHeader + std::string("\1"
                                                      "a\0\0\1\0\1",
                                                      7));
  const std::string old = dns(kHeader + kOldName) + other + dns(kHeader + kOldName);
  const std::string now = dns(kHeader + kNewName) + other + dns(kHeader + kNewName);
  for (size_t cut = 1; cut < old.size(); ++cut) {
    Sender sender(kDns, 53);
    sender.send(old.substr(0, cut));
    sender.send(old.substr(cut));
    ASSERT_EQ(sender.received(), now) << "cut at " << cut;
  }
}

TEST(StreamMessages, DnsOfEqualLengthAndMany) {
  std::string old = std::string("\x12\x34\x81\x80\0\0\1\x2c\0\0\0\0", 12), now = old;
  for (int i = 0; i < 300; ++i) {
    const std::string record(
        "\1"
        "a\0\0\1\0\1\0\0\0\x3c\0\4",
        13);
    old += record + std::string("\x0a\x09\x01\x02", 4);
    now += record + std::string("\xc6\x33\x64\x01", 4);
  }
  Sender sender(kDns, 53);
  for (size_t at = 0; at < dns(old).size(); at += 1200)
    sender.send(dns(old).substr(at, 1200), true);
  EXPECT_EQ(sender.received(), dns(now));
}

// Of other rules' edits, too.
TEST(StreamMessages, DnsSaysItsLengthWhoeverChangesIt) {
  const std::string rules = std::string(kDns) + R"(
[[rule]]
match = { protocol = "tcp" }
steps = [{ replace = 'note=(\w+)', with = 'note=$1,$1' }]
)";
  const auto text = [](const std::string& note) {
    std::string record("\0\0\x10\0\1\0\0\0\x3c", 9);
    record += '\0';
    record += static_cast<char>(note.size() + 1);
    return record + static_cast<char>(note.size()) + note;
  };
  const std::string header("\x12\x34\x81\x80\0\1\0\1\0\0\0\0", 12);
  const std::string other = dns(header +
                                std::string("\1"
                                            "a\0\0\1\0\1",
                                            7) +
                                text("nothing"));
  const std::string old = dns(header + kOldName + text("note=abc")) + other;
  const std::string now =
      dns(header + kNewName + text("note=abc").substr(0, 12) + "note=abc,abc") + other;
  for (size_t cut = 1; cut < old.size(); ++cut) {
    Sender sender(rules.c_str(), 53);
    sender.send(old.substr(0, cut));
    sender.send(old.substr(cut));
    ASSERT_EQ(sender.received(), now) << "cut at " << cut;
  }
}

TEST(StreamMessages, WhatIsNoDnsIsLetBe) {
  const std::string junk = dns("short") + dns(kHeader + kOldName);
  Sender sender(kDns, 53);
  sender.send(junk);
  EXPECT_EQ(sender.received(), junk);
  sender.send(dns(kHeader + kOldName));
  EXPECT_EQ(sender.received(), junk + dns(kHeader + kNewName)) << "a segment that is one message";
}

}  // namespace
}  // namespace fettle::testing
