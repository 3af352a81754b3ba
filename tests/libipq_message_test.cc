// libipq's bytes: messages that libmnl builds as the kernel does, and damaged ones; ip_queue's own,
// as a program takes them apart; the environment.
#include <arpa/inet.h>
#include <endian.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "deploy/libipq/libipq.h"
#include "deploy/libipq/old_message.h"
#include "deploy/libipq/queue_message.h"
#include "deploy/libipq/settings.h"

namespace libipq {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<unsigned char> numbers(size_t size) {
  std::vector<unsigned char> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i);
  return bytes;
}

// A packet message with all that the kernel may say.
Bytes packet_message(size_t payload) {
  Bytes bytes(4096 + payload);
  nlmsghdr* const header = mnl_nlmsg_put_header(bytes.data());
  header->nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET;
  auto* const general =
      static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  general->nfgen_family = AF_INET;
  nfqnl_msg_packet_hdr head = {};
  head.packet_id = htonl(0x80000007);
  head.hw_protocol = htons(0x0800);
  head.hook = 2;
  mnl_attr_put(header, NFQA_PACKET_HDR, sizeof(head), &head);
  mnl_attr_put_u32(header, NFQA_IFINDEX_INDEV, htonl(3));
  mnl_attr_put_u32(header, NFQA_IFINDEX_OUTDEV, htonl(4));
  mnl_attr_put_u32(header, NFQA_MARK, htonl(0xdeadbeef));
  nfqnl_msg_packet_hw hw = {};
  hw.hw_addrlen = htons(6);
  std::memcpy(hw.hw_addr, "\1\2\3\4\5\6", 6);
  mnl_attr_put(header, NFQA_HWADDR, sizeof(hw), &hw);
  const nfqnl_msg_packet_timestamp time = {htobe64(1000000007), htobe64(999999)};
  mnl_attr_put(header, NFQA_TIMESTAMP, sizeof(time), &time);
  if (payload > 0) mnl_attr_put(header, NFQA_PAYLOAD, payload, numbers(payload).data());
  bytes.resize(header->nlmsg_len);
  return bytes;
}

TEST(LibipqMessageTest, APacketIsRead) {
  const Bytes bytes = packet_message(100);
  const KernelMessage message = read_message(bytes);
  ASSERT_EQ(message.kind, KernelMessage::Kind::kPacket);
  const QueuedPacket& packet = message.packet;
  EXPECT_EQ(packet.id, 0x80000007U);
  EXPECT_EQ(packet.family, AF_INET);
  EXPECT_EQ(packet.hook, 2);
  EXPECT_EQ(ntohs(packet.hw_protocol), 0x0800);
  EXPECT_EQ(packet.mark, 0xdeadbeefU);
  EXPECT_EQ(packet.in_index, 3U);
  EXPECT_EQ(packet.out_index, 4U);
  EXPECT_EQ(packet.hw_addrlen, 6);
  EXPECT_EQ(packet.hw_addr[5], 6);
  EXPECT_EQ(packet.seconds, 1000000007U);
  EXPECT_EQ(packet.microseconds, 999999U);
  ASSERT_EQ(packet.payload.size(), 100U);
  EXPECT_EQ(packet.payload[99], std::byte{99});
}

TEST(LibipqMessageTest, AMessageThatIsCutIsNone) {
  const Bytes whole = packet_message(100);
  for (size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(read_message(cut).kind, KernelMessage::Kind::kOther) << size;
  }
}

// Whatever the lengths inside say, nothing beyond the message is handed out: the sanitizers watch.
TEST(LibipqMessageTest, LengthsThatLieReachNothing) {
  const Bytes whole = packet_message(20);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned value : {0U, 1U, 3U, 4U, 0x7fU, 0xffU}) {
      Bytes damaged = whole;
      damaged[at] = std::byte(value);
      const KernelMessage message = read_message(damaged);
      const auto payload = message.packet.payload;
      if (payload.empty()) continue;
      EXPECT_GE(payload.data(), damaged.data());
      EXPECT_LE(payload.data() + payload.size(), damaged.data() + damaged.size());
      EXPECT_LE(message.packet.hw_addrlen, 8);
    }
  }
}

TEST(LibipqMessageTest, AnAnswerIsTheRequestsNumberAndItsError) {
  for (const int error : {0, ENOENT, EPERM}) {
    Bytes bytes(256);
    nlmsghdr* const header = mnl_nlmsg_put_header(bytes.data());
    header->nlmsg_type = NLMSG_ERROR;
    auto* const answer =
        static_cast<nlmsgerr*>(mnl_nlmsg_put_extra_header(header, sizeof(nlmsgerr)));
    answer->error = -error;
    answer->msg.nlmsg_seq = 77;
    bytes.resize(header->nlmsg_len);
    const KernelMessage message = read_message(bytes);
    EXPECT_EQ(message.kind, KernelMessage::Kind::kAnswer);
    EXPECT_EQ(message.sequence, 77U);
    EXPECT_EQ(message.error, error);
  }
}

TEST(LibipqMessageTest, AProgramTakesThePacketApart) {
  const Bytes bytes = packet_message(100);
  Device in;
  std::strcpy(in.name, "lan");
  in.kind = 1;
  alignas(16) unsigned char buffer[2048] = {};
  const size_t length = write_packet(read_message(bytes).packet, in, Device(), 0, buffer);
  EXPECT_EQ(length, NLMSG_LENGTH(sizeof(ipq_packet_msg_t)) + 100);
  ASSERT_EQ(ipq_message_type(buffer), IPQM_PACKET);
  const ipq_packet_msg_t* const m = ipq_get_packet(buffer);
  EXPECT_EQ(m->packet_id, 0x80000007UL);
  EXPECT_EQ(m->mark, 0xdeadbeefUL);
  EXPECT_EQ(m->timestamp_sec, 1000000007);
  EXPECT_EQ(m->timestamp_usec, 999999);
  EXPECT_EQ(m->hook, 2U);
  EXPECT_STREQ(m->indev_name, "lan");
  EXPECT_STREQ(m->outdev_name, "");
  EXPECT_EQ(m->hw_type, 1);
  EXPECT_EQ(m->hw_addrlen, 6);
  ASSERT_EQ(m->data_len, 100U);
  EXPECT_EQ(m->payload[99], 99);
}

TEST(LibipqMessageTest, APacketWithoutATimeHasComeNow) {
  QueuedPacket packet;
  alignas(16) unsigned char buffer[256];
  write_packet(packet, Device(), Device(), 5'000'007, buffer);
  EXPECT_EQ(ipq_get_packet(buffer)->timestamp_sec, 5);
  EXPECT_EQ(ipq_get_packet(buffer)->timestamp_usec, 7);
}

TEST(LibipqMessageTest, NothingIsWrittenWhereThereIsNoRoom) {
  const Bytes bytes = packet_message(100);
  std::vector<unsigned char> buffer(NLMSG_LENGTH(sizeof(ipq_packet_msg_t)) + 99, 0xaa);
  EXPECT_EQ(write_packet(read_message(bytes).packet, Device(), Device(), 0, buffer),
            buffer.size() + 1);
  EXPECT_EQ(buffer, std::vector<unsigned char>(buffer.size(), 0xaa));
  buffer.resize(NLMSG_LENGTH(sizeof(nlmsgerr)) - 1);
  EXPECT_GT(write_refusal(ENOENT, buffer), buffer.size());
  EXPECT_EQ(buffer, std::vector<unsigned char>(buffer.size(), 0xaa));
}

TEST(LibipqMessageTest, AVerdictHasRoomForItsPayloadBehindIt) {
  Request request;
  write_verdict(request, 5, 7, NF_ACCEPT, 41);
  const nlmsghdr* const header = request.header();
  EXPECT_EQ(header->nlmsg_len, NLMSG_LENGTH(sizeof(nfgenmsg)) + 12 + 4 + 44);
  EXPECT_EQ(header->nlmsg_flags, NLM_F_REQUEST);
  write_verdict(request, 5, 7, NF_DROP, 0);
  EXPECT_EQ(header->nlmsg_len, NLMSG_LENGTH(sizeof(nfgenmsg)) + 12);
}

class LibipqSettingsTest : public testing::Test {
 protected:
  ~LibipqSettingsTest() override {
    for (const char* name :
         {"LIBIPQ_QUEUE", "LIBIPQ_QUEUE6", "LIBIPQ_QUEUE_LENGTH", "LIBIPQ_FAIL_OPEN"})
      unsetenv(name);
  }
  static bool read(bool ipv6, Settings& settings) { return read_settings(ipv6, settings); }
};

TEST_F(LibipqSettingsTest, WithoutAnyQueueZeroAndTheKernelsOwn) {
  Settings settings;
  ASSERT_TRUE(read(true, settings));
  EXPECT_EQ(settings.queue, 0);
  EXPECT_FALSE(settings.length_given);
  EXPECT_FALSE(settings.fail_open);
}

TEST_F(LibipqSettingsTest, Ipv6HasItsOwnQueueWhereOneIsNamed) {
  setenv("LIBIPQ_QUEUE", "4", 1);
  Settings settings;
  ASSERT_TRUE(read(true, settings));
  EXPECT_EQ(settings.queue, 4);
  setenv("LIBIPQ_QUEUE6", "65535", 1);
  ASSERT_TRUE(read(true, settings));
  EXPECT_EQ(settings.queue, 65535);
  ASSERT_TRUE(read(false, settings));
  EXPECT_EQ(settings.queue, 4);
}

TEST_F(LibipqSettingsTest, WhatIsNoNumberIsRefused) {
  Settings settings;
  for (const char* value :
       {"-1", "65536", "4294967296", "99999999999999999999999", "1x", "x", " 1", "0x1"}) {
    setenv("LIBIPQ_QUEUE", value, 1);
    EXPECT_FALSE(read(false, settings)) << value;
  }
  setenv("LIBIPQ_QUEUE", "", 1);
  EXPECT_TRUE(read(false, settings));
  setenv("LIBIPQ_FAIL_OPEN", "2", 1);
  EXPECT_FALSE(read(false, settings));
}

}  // namespace
}  // namespace libipq
