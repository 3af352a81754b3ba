// The packet loop without a kernel: a socket pair stands for the queue's netlink socket.
#pragma once

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/checksum.h"
#include "rules/compile.h"
#include "rules/parse.h"
#include "workers/packet_loop.h"

namespace fettle {

inline constexpr uint16_t kQueue = 5;

// A UDP packet of 32 bytes from 10.0.0.1:1000 to 10.0.0.2, with "abcd" as payload.
inline std::vector<std::byte> udp_packet(uint16_t dst_port) {
  std::vector<std::byte> bytes(32);
  store_u8(bytes.data(), 0x45);
  store_be16(bytes.data() + 2, 32);
  store_u8(bytes.data() + 8, 64);
  store_u8(bytes.data() + 9, 17);
  store_be32(bytes.data() + 12, 0x0a000001);
  store_be32(bytes.data() + 16, 0x0a000002);
  store<uint16_t>(bytes.data() + 10, ipv4_header_checksum({bytes.data(), 20}));
  store_be16(bytes.data() + 20, 1000);
  store_be16(bytes.data() + 22, dst_port);
  store_be16(bytes.data() + 24, 12);
  std::memcpy(bytes.data() + 28, "abcd", 4);
  store<uint16_t>(bytes.data() + 26, full_transport_checksum(parse(bytes)));
  return bytes;
}

inline std::vector<char> queued(uint32_t id, const std::vector<std::byte>& payload) {
  std::vector<char> bytes(512 + payload.size());
  nlmsghdr* header = mnl_nlmsg_put_header(bytes.data());
  header->nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET;
  auto* generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  generic->nfgen_family = AF_INET;
  generic->res_id = htons(kQueue);
  nfqnl_msg_packet_hdr packet{};
  packet.packet_id = htonl(id);
  packet.hook = NF_INET_FORWARD;
  mnl_attr_put(header, NFQA_PACKET_HDR, sizeof packet, &packet);
  mnl_attr_put(header, NFQA_PAYLOAD, payload.size(), payload.data());
  bytes.resize(header->nlmsg_len);
  return bytes;
}

class PacketLoopTest : public testing::Test {
 protected:
  void start(const char* rules, uint32_t batch = 4) {
    const Parsed parsed = parse_rules(rules, "test.toml");
    std::vector<Diagnostic> diagnostics;
    program_ = compile(parsed.set, &diagnostics);
    ASSERT_TRUE(parsed.ok() && program_);
    connect();
    const size_t threads = heritage_.options.cpus.size();
    rules_.resize(std::max<size_t>(threads * program_->rule_names().size(), 1));
    heritage_.send_buffer = 1 << 20;
    heritage_.program = &*program_;
    heritage_.page = &page_;
    heritage_.rules = {rules_.data(), threads * program_->rule_names().size()};
    heritage_.options.batch = batch;
    heritage_.options.settings.queue = kQueue;
    auto loop = PacketLoop::create(heritage_);
    ASSERT_TRUE(loop && (*loop)->begin(heritage_));
    loop_ = std::move(*loop);
  }
  void connect() {
    TearDown();
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets_), 0);
    heritage_.queue_fd = sockets_[0];
  }
  void TearDown() override {
    for (int& fd : sockets_) {
      if (fd >= 0) close(std::exchange(fd, -1));
    }
  }
  void deliver(uint32_t id, uint16_t dst_port) { deliver(queued(id, udp_packet(dst_port))); }
  void deliver(const std::vector<char>& datagram) {
    ASSERT_EQ(send(sockets_[1], datagram.data(), datagram.size(), 0),
              static_cast<ssize_t>(datagram.size()));
  }
  void answer(int error, uint32_t sequence) {
    std::vector<char> bytes(64);
    nlmsghdr* header = mnl_nlmsg_put_header(bytes.data());
    header->nlmsg_type = NLMSG_ERROR;
    auto* body = static_cast<nlmsgerr*>(mnl_nlmsg_put_extra_header(header, sizeof(nlmsgerr)));
    body->error = -error;
    body->msg.nlmsg_seq = sequence;
    bytes.resize(header->nlmsg_len);
    deliver(bytes);
  }
  // A configuration message's number and its NFQA_CFG_FLAGS.
  std::pair<uint32_t, uint32_t> configuration() {
    alignas(8) std::array<char, 512> bytes;
    if (recv(sockets_[1], bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return {0, 0};
    const auto* header = static_cast<const nlmsghdr*>(static_cast<const void*>(bytes.data()));
    std::pair<uint32_t, uint32_t> out{header->nlmsg_seq, 0};
    const auto* tail = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
    const auto* at =
        static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
    for (; mnl_attr_ok(at, static_cast<int>(tail - reinterpret_cast<const char*>(at)));
         at = mnl_attr_next(at)) {
      if (mnl_attr_get_type(at) == NFQA_CFG_FLAGS) out.second = ntohl(mnl_attr_get_u32(at));
    }
    return out;
  }
  // The messages of one reply: "batch 3:1", "one 4:1 +32".
  std::optional<std::string> reply() {
    alignas(8) std::array<char, 70000> bytes;
    const ssize_t got = recv(sockets_[1], bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return std::nullopt;
    std::string out;
    int left = static_cast<int>(got);
    for (auto* at = static_cast<nlmsghdr*>(static_cast<void*>(bytes.data()));
         mnl_nlmsg_ok(at, left); at = mnl_nlmsg_next(at, &left)) {
      const auto* raw = reinterpret_cast<const std::byte*>(at);
      const bool batch = (at->nlmsg_type & 0xff) == NFQNL_MSG_VERDICT_BATCH;
      out += fmt::format("{}{} {}:{}", out.empty() ? "" : ", ", batch ? "batch" : "one",
                         load_be32(raw + 28), load_be32(raw + 24));
      if (at->nlmsg_len > kVerdictHeaderSize) {
        const size_t size = load<uint16_t>(raw + kVerdictHeaderSize) - 4u;
        out += fmt::format(" +{}", size);
        returned_.assign(raw + kVerdictHeaderSize + 4, raw + kVerdictHeaderSize + 4 + size);
      }
    }
    return out;
  }

  int sockets_[2] = {-1, -1};
  std::optional<Program> program_;
  std::vector<RuleCounters> rules_;
  WorkerPage page_;
  Heritage heritage_;
  std::unique_ptr<PacketLoop> loop_;
  std::vector<std::byte> returned_;
};

}  // namespace fettle
