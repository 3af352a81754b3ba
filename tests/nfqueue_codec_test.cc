// The codec against libmnl and libnetfilter_queue: what they build it must read, what it builds
// they must read.
#include "core/nfqueue_codec.h"

#include "core/nfqueue.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include <gtest/gtest.h>

namespace fettle {
namespace {

constexpr uint16_t kQueue = 0x1234;

const nlmsghdr* header_at(const std::byte* bytes) {
  return static_cast<const nlmsghdr*>(static_cast<const void*>(bytes));
}

// mnl_attr_for_each for C++.
template <typename Visit>
void for_each_attribute(const nlmsghdr* header, Visit visit) {
  const char* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  const auto* at =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at)));
       at = mnl_attr_next(at)) {
    visit(at);
  }
}

struct Wire {
  alignas(8) std::array<char, 70000> bytes{};
  nlmsghdr* header = nullptr;

  explicit Wire(int type = NFQNL_MSG_PACKET) {
    header = mnl_nlmsg_put_header(bytes.data());
    header->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_QUEUE << 8 | type);
    auto* generic = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
    generic->nfgen_family = AF_INET6;
    generic->res_id = htons(kQueue);
  }
  void put_packet_header(uint32_t id, uint8_t hook) {
    nfqnl_msg_packet_hdr packet{};
    packet.packet_id = htonl(id);
    packet.hw_protocol = htons(0x86dd);
    packet.hook = hook;
    mnl_attr_put(header, NFQA_PACKET_HDR, sizeof packet, &packet);
  }
  std::span<std::byte> span() {
    return {reinterpret_cast<std::byte*>(bytes.data()), header->nlmsg_len};
  }
};

Message decode_only(std::span<std::byte> datagram) {
  Message message = decode(datagram);
  EXPECT_TRUE(datagram.empty());
  return message;
}

TEST(NfqueueDecodeTest, ReadsEveryAttributeThatTheKernelSends) {
  Wire wire;
  wire.put_packet_header(0xfffffffe, NF_INET_POST_ROUTING);
  mnl_attr_put_u32(wire.header, NFQA_MARK, htonl(0xabcd0001));
  mnl_attr_put_u32(wire.header, NFQA_IFINDEX_INDEV, htonl(3));
  mnl_attr_put_u32(wire.header, NFQA_IFINDEX_OUTDEV, htonl(70000));
  mnl_attr_put_u32(wire.header, NFQA_SKB_INFO, htonl(NFQA_SKB_GSO | NFQA_SKB_CSUMNOTREADY));
  const char payload[] = "seventeen bytes..";
  mnl_attr_put(wire.header, NFQA_PAYLOAD, 17, payload);

  const Message message = decode_only(wire.span());
  ASSERT_EQ(message.kind, MessageKind::kPacket);
  EXPECT_EQ(message.queue, kQueue);
  EXPECT_EQ(message.packet.id, 0xfffffffe);
  EXPECT_EQ(message.packet.hook, Hook::kPostrouting);
  EXPECT_EQ(message.packet.family, Family::kIpv6);
  EXPECT_EQ(message.packet.mark, 0xabcd0001);
  EXPECT_EQ(message.packet.in_index, 3u);
  EXPECT_EQ(message.packet.out_index, 70000u);
  EXPECT_EQ(message.packet.skb_info, 3u);
  EXPECT_TRUE(message.packet.whole);
  ASSERT_EQ(message.packet.payload.size(), 17u);
  EXPECT_EQ(std::memcmp(message.packet.payload.data(), payload, 17), 0);
  const auto* begin = reinterpret_cast<const std::byte*>(wire.header);
  EXPECT_EQ(message.packet.payload.data() - message.packet.before, begin);
}

TEST(NfqueueDecodeTest, ALongerOriginalMeansThatThePacketWasCut) {
  for (const uint32_t original : {20u, 21u}) {
    Wire wire;
    wire.put_packet_header(1, NF_INET_FORWARD);
    mnl_attr_put_u32(wire.header, NFQA_CAP_LEN, htonl(original));
    mnl_attr_put(wire.header, NFQA_PAYLOAD, 20, std::array<char, 20>{}.data());
    EXPECT_EQ(decode_only(wire.span()).packet.whole, original == 20);
  }
}

// As ctnetlink_glue_build() nests them: other attributes of the connection before and after.
void put_conntrack(nlmsghdr* header, const SequenceShift& original, const SequenceShift& reply) {
  nlattr* connection = mnl_attr_nest_start(header, NFQA_CT);
  mnl_attr_put_u32(header, CTA_STATUS, htonl(IPS_SEQ_ADJUST));
  const auto put = [&](uint16_t type, const SequenceShift& shift) {
    nlattr* nest = mnl_attr_nest_start(header, type);
    mnl_attr_put_u32(header, CTA_SEQADJ_CORRECTION_POS, htonl(shift.position));
    mnl_attr_put_u32(header, CTA_SEQADJ_OFFSET_BEFORE, htonl(shift.before));
    mnl_attr_put_u32(header, CTA_SEQADJ_OFFSET_AFTER, htonl(shift.after));
    mnl_attr_nest_end(header, nest);
  };
  put(CTA_SEQ_ADJ_ORIG, original);
  put(CTA_SEQ_ADJ_REPLY, reply);
  mnl_attr_put_u32(header, CTA_MARK, htonl(7));
  mnl_attr_nest_end(header, connection);
}

TEST(NfqueueDecodeTest, ShiftsAreThoseOfTheStreamThatThePacketAcknowledges) {
  const SequenceShift original{.position = 1000, .before = 0xfffffffe, .after = 3};
  const SequenceShift reply{.position = 0, .before = 77777, .after = 77777};
  for (const uint32_t state :
       {IP_CT_ESTABLISHED, IP_CT_RELATED, IP_CT_ESTABLISHED_REPLY, IP_CT_RELATED_REPLY}) {
    for (const bool info_first : {false, true}) {
      Wire wire;
      wire.put_packet_header(7, NF_INET_FORWARD);
      if (info_first) mnl_attr_put_u32(wire.header, NFQA_CT_INFO, htonl(state));
      put_conntrack(wire.header, original, reply);
      if (!info_first) mnl_attr_put_u32(wire.header, NFQA_CT_INFO, htonl(state));
      mnl_attr_put(wire.header, NFQA_PAYLOAD, 20, std::array<char, 20>{}.data());
      const Message message = decode_only(wire.span());
      ASSERT_EQ(message.kind, MessageKind::kPacket);
      EXPECT_EQ(message.packet.shift, state >= IP_CT_IS_REPLY ? original : reply) << state;
      EXPECT_EQ(message.packet.payload.size(), 20u);
    }
  }
}

TEST(NfqueueDecodeTest, AConnectionWithoutShiftsHasNone) {
  Wire wire;
  wire.put_packet_header(7, NF_INET_FORWARD);
  nlattr* connection = mnl_attr_nest_start(wire.header, NFQA_CT);
  mnl_attr_put_u32(wire.header, CTA_STATUS, 0);
  mnl_attr_put(wire.header, CTA_SEQ_ADJ_REPLY, 3, "cut");  // shorter than an attribute's head
  mnl_attr_nest_end(wire.header, connection);
  mnl_attr_put_u32(wire.header, NFQA_CT_INFO, htonl(IP_CT_ESTABLISHED));
  const Message message = decode_only(wire.span());
  ASSERT_EQ(message.kind, MessageKind::kPacket);
  EXPECT_TRUE(message.packet.shift.none());
}

TEST(NfqueueDecodeTest, MetadataModeHasNoPayload) {
  Wire wire;
  wire.put_packet_header(7, NF_INET_LOCAL_IN);
  const Message message = decode_only(wire.span());
  ASSERT_EQ(message.kind, MessageKind::kPacket);
  EXPECT_TRUE(message.packet.payload.empty());
  EXPECT_EQ(message.packet.hook, Hook::kInput);
}

TEST(NfqueueDecodeTest, AcknowledgementsAndErrorsCarryTheirRequest) {
  for (const int error : {0, EPERM, ENOENT}) {
    alignas(8) std::array<char, 256> bytes{};
    nlmsghdr* header = mnl_nlmsg_put_header(bytes.data());
    header->nlmsg_type = NLMSG_ERROR;
    auto* body = static_cast<nlmsgerr*>(mnl_nlmsg_put_extra_header(header, sizeof(nlmsgerr)));
    body->error = -error;
    body->msg.nlmsg_seq = 77;
    const Message message =
        decode_only({reinterpret_cast<std::byte*>(bytes.data()), header->nlmsg_len});
    EXPECT_EQ(message.kind, error == 0 ? MessageKind::kAck : MessageKind::kError);
    EXPECT_EQ(message.error, error);
    EXPECT_EQ(message.sequence, 77u);
  }
}

TEST(NfqueueDecodeTest, TakesTheMessagesOfADatagramOneByOne) {
  Wire first;
  first.put_packet_header(1, NF_INET_FORWARD);
  mnl_attr_put(first.header, NFQA_PAYLOAD, 5, "abcde");  // odd, so that padding counts
  Wire second;
  second.put_packet_header(2, NF_INET_FORWARD);
  std::vector<std::byte> both(first.span().begin(), first.span().end());
  both.insert(both.end(), second.span().begin(), second.span().end());
  std::span<std::byte> datagram = both;
  EXPECT_EQ(decode(datagram).packet.id, 1u);
  EXPECT_EQ(decode(datagram).packet.id, 2u);
  EXPECT_TRUE(datagram.empty());
}

TEST(NfqueueDecodeTest, ACutMessageStillSaysWhichPacketItIs) {
  Wire wire;
  wire.put_packet_header(42, NF_INET_FORWARD);
  mnl_attr_put(wire.header, NFQA_PAYLOAD, 100, std::array<char, 100>{}.data());
  const Message message = decode_only(wire.span().first(wire.header->nlmsg_len - 8));
  EXPECT_EQ(message.kind, MessageKind::kMalformed);
  EXPECT_TRUE(message.packet.has_id);
  EXPECT_EQ(message.packet.id, 42u);
}

TEST(NfqueueDecodeTest, EveryCutOfAMessageIsMalformedAndReadsNothingBeyond) {
  Wire wire;
  wire.put_packet_header(42, NF_INET_FORWARD);
  mnl_attr_put_u32(wire.header, NFQA_MARK, htonl(1));
  mnl_attr_put(wire.header, NFQA_PAYLOAD, 33, std::array<char, 33>{}.data());
  for (size_t size = 1; size < wire.span().size(); ++size) {
    std::vector<std::byte> cut(wire.span().begin(), wire.span().begin() + static_cast<long>(size));
    std::span<std::byte> datagram = cut;
    EXPECT_EQ(decode(datagram).kind, MessageKind::kMalformed) << size;
    EXPECT_TRUE(datagram.empty());
  }
}

TEST(NfqueueDecodeTest, AttributesThatContradictTheirLengthAreMalformed) {
  for (const uint16_t length : {uint16_t{0}, uint16_t{3}, uint16_t{5000}}) {
    Wire wire;
    wire.put_packet_header(9, NF_INET_FORWARD);
    mnl_attr_put_u32(wire.header, NFQA_MARK, htonl(1));
    std::byte* mark = wire.span().data() + 16 + 4 + 12;
    store<uint16_t>(mark, length);
    EXPECT_EQ(decode_only(wire.span()).kind, MessageKind::kMalformed) << length;
  }
  Wire without_id;
  mnl_attr_put_u32(without_id.header, NFQA_MARK, htonl(1));
  EXPECT_EQ(decode_only(without_id.span()).kind, MessageKind::kMalformed);
}

// What libmnl reads out of a verdict message.
struct Verdict {
  uint32_t id = 0, verdict = 0, mark = 0;
  bool has_mark = false, batch = false;
  std::string payload;
};
Verdict read_back(const std::vector<std::byte>& bytes) {
  const nlmsghdr* header = header_at(bytes.data());
  EXPECT_TRUE(mnl_nlmsg_ok(header, static_cast<int>(bytes.size())));
  EXPECT_EQ(header->nlmsg_len, bytes.size());
  EXPECT_EQ(header->nlmsg_flags, NLM_F_REQUEST);
  const auto* generic = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
  EXPECT_EQ(ntohs(generic->res_id), kQueue);
  Verdict out;
  out.batch = (header->nlmsg_type & 0xff) == NFQNL_MSG_VERDICT_BATCH;
  for_each_attribute(header, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case NFQA_VERDICT_HDR: {
        const auto* verdict =
            static_cast<const nfqnl_msg_verdict_hdr*>(mnl_attr_get_payload(attribute));
        out.id = ntohl(verdict->id);
        out.verdict = ntohl(verdict->verdict);
        break;
      }
      case NFQA_MARK:
        out.has_mark = true;
        out.mark = ntohl(mnl_attr_get_u32(attribute));
        break;
      case NFQA_PAYLOAD:
        out.payload.assign(static_cast<const char*>(mnl_attr_get_payload(attribute)),
                           mnl_attr_get_payload_len(attribute));
        break;
      default:
        ADD_FAILURE() << "attribute " << mnl_attr_get_type(attribute);
    }
  });
  return out;
}

TEST(NfqueueVerdictTest, LibmnlReadsWhatIsWritten) {
  for (const std::string payload : {"", "a", "ab", "abc", "abcd", "abcde"}) {
    for (const bool mark : {false, true}) {
      for (const bool batch : {false, true}) {
        std::vector<std::byte> bytes(200, std::byte{0xee});
        const size_t head = encode_verdict(bytes.data(), kQueue,
                                           {.id = 0x80000001,
                                            .verdict = queue_verdict(9, true),
                                            .mark = 0xfeedbeef,
                                            .set_mark = mark,
                                            .batch = batch,
                                            .payload_size = payload.size()});
        ASSERT_LE(head, kMaxVerdictHead);
        ASSERT_EQ(head % 4, 0u);
        std::memcpy(bytes.data() + head, payload.data(), payload.size());
        bytes.resize(head + payload.size() + (payload.empty() ? 0 : padding_of(payload.size())));
        const Verdict verdict = read_back(bytes);
        EXPECT_EQ(verdict.id, 0x80000001);
        EXPECT_EQ(verdict.verdict, 0x98003u);
        EXPECT_EQ(verdict.has_mark, mark);
        EXPECT_EQ(verdict.mark, mark ? 0xfeedbeef : 0u);
        EXPECT_EQ(verdict.batch, batch);
        EXPECT_EQ(verdict.payload, payload);
      }
    }
  }
}

TEST(NfqueueConfigTest, OneMessageSetsEverythingAndAsksForAnAnswer) {
  ConfigBuffer buffer;
  const QueueSettings settings{
      .queue = kQueue, .length = 4096, .copy_range = 0xffff, .fail_open = true, .gso = false};
  const size_t size = encode_config(buffer, settings, true, 5);
  const nlmsghdr* header = header_at(buffer.data());
  ASSERT_TRUE(mnl_nlmsg_ok(header, static_cast<int>(size)));
  EXPECT_EQ(header->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
  EXPECT_EQ(header->nlmsg_seq, 5u);
  int seen = 0;
  for_each_attribute(header, [&](const nlattr* attribute) {
    ++seen;
    switch (mnl_attr_get_type(attribute)) {
      case NFQA_CFG_CMD:
        EXPECT_EQ(static_cast<nfqnl_msg_config_cmd*>(mnl_attr_get_payload(attribute))->command,
                  NFQNL_CFG_CMD_BIND);
        break;
      case NFQA_CFG_PARAMS: {
        auto* params = static_cast<nfqnl_msg_config_params*>(mnl_attr_get_payload(attribute));
        EXPECT_EQ(params->copy_mode, NFQNL_COPY_PACKET);
        EXPECT_EQ(ntohl(params->copy_range), 0xffffu);
        break;
      }
      case NFQA_CFG_QUEUE_MAXLEN:
        EXPECT_EQ(ntohl(mnl_attr_get_u32(attribute)), 4096u);
        break;
      case NFQA_CFG_FLAGS:
        EXPECT_EQ(ntohl(mnl_attr_get_u32(attribute)), uint32_t{NFQA_CFG_F_FAIL_OPEN});
        break;
      case NFQA_CFG_MASK:
        EXPECT_EQ(ntohl(mnl_attr_get_u32(attribute)),
                  uint32_t{NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO | NFQA_CFG_F_CONNTRACK});
        break;
      default:
        ADD_FAILURE();
    }
  });
  EXPECT_EQ(seen, 5);  // a second FLAGS/MASK pair would silently undo the first
}

TEST(NfqueueConfigTest, ConnectionTrackingIsAskedForAndDoneWithout) {
  QueueSettings settings{.queue = kQueue, .conntrack = true};
  ConfigBuffer buffer;
  encode_config(buffer, settings, false, 5);
  uint32_t flags = 0;
  for_each_attribute(header_at(buffer.data()), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NFQA_CFG_FLAGS) flags = ntohl(mnl_attr_get_u32(attribute));
  });
  EXPECT_NE(flags & NFQA_CFG_F_CONNTRACK, 0u);

  EXPECT_FALSE(relax(settings, EPERM));
  EXPECT_TRUE(relax(settings, EAGAIN));  // its module is there now
  EXPECT_TRUE(settings.conntrack);
  EXPECT_TRUE(relax(settings, EOPNOTSUPP));
  EXPECT_EQ(settings, QueueSettings{.queue = kQueue});
  EXPECT_FALSE(relax(settings, EOPNOTSUPP));
}

TEST(NfqueueIdTest, NewerIsASignedDifference) {
  EXPECT_TRUE(id_after(1, 0));
  EXPECT_TRUE(id_after(0, 0xffffffff));
  EXPECT_FALSE(id_after(0xffffffff, 0));
  EXPECT_FALSE(id_after(5, 5));
}

TEST(NfqueueConfigTest, PaddingSaysNothingOfTheStack) {
  ConfigBuffer one, other;
  one.fill(std::byte{0});
  other.fill(std::byte{0xff});
  const size_t size = encode_config(one, {.queue = kQueue}, true, 7);
  ASSERT_EQ(encode_config(other, {.queue = kQueue}, true, 7), size);
  EXPECT_TRUE(std::equal(one.begin(), one.begin() + size, other.begin()));
}

}  // namespace
}  // namespace fettle
