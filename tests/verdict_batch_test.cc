#include "core/verdict_batch.h"

#include <libmnl/libmnl.h>

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/bytes.h"

namespace fettle {
namespace {

std::vector<std::byte> flatten(std::span<iovec> list) {
  std::vector<std::byte> out;
  for (const iovec& part : list) {
    const auto* at = static_cast<std::byte*>(part.iov_base);
    out.insert(out.end(), at, at + part.iov_len);
  }
  return out;
}

// "batch 3:1 | one 4:1 'abc' | ...": id:verdict of each message, as libmnl steps through them.
std::string describe(std::span<iovec> list) {
  const std::vector<std::byte> bytes = flatten(list);
  std::string out;
  int left = static_cast<int>(bytes.size());
  const auto* header = static_cast<const nlmsghdr*>(static_cast<const void*>(bytes.data()));
  for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
    const auto* at = reinterpret_cast<const std::byte*>(header);
    out += fmt::format("{}{} {}:{}", out.empty() ? "" : " | ",
                       (header->nlmsg_type & 0xff) == 3 ? "batch" : "one", load_be32(at + 28),
                       load_be32(at + 24));
    if (header->nlmsg_len <= kVerdictHeaderSize) continue;
    const std::byte* attribute = at + kVerdictHeaderSize;
    if (load<uint16_t>(attribute + 2) == 3) {
      out += fmt::format(" mark {}", load_be32(attribute + 4));
      attribute += kVerdictMarkSize;
    }
    if (attribute < at + header->nlmsg_len) {
      out += fmt::format(" '{}'", std::string(reinterpret_cast<const char*>(attribute) + 4,
                                              load<uint16_t>(attribute) - 4u));
    }
  }
  EXPECT_EQ(left, 0);
  return out;
}

std::span<std::byte> bytes_of(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

TEST(VerdictBatchTest, ARunOfTheSameVerdictIsOneMessage) {
  VerdictBatch batch(7, 8);
  for (uint32_t id = 10; id < 14; ++id) batch.add(id, kNfAccept, nullptr);
  EXPECT_EQ(describe(batch.gather()), "batch 13:1");
  EXPECT_EQ(batch.packets(), 4u);
}

TEST(VerdictBatchTest, ASinglePacketIsNoBatchSoThatItTakesNoOther) {
  VerdictBatch batch(7, 8);
  batch.add(10, kNfDrop, nullptr);
  EXPECT_EQ(describe(batch.gather()), "one 10:0");
}

TEST(VerdictBatchTest, OrderIsKeptAcrossChangedPackets) {
  VerdictBatch batch(7, 8);
  std::string a = "abc";
  std::string b = "defgh";
  batch.add(1, kNfAccept, nullptr);
  batch.add(2, kNfAccept, nullptr);
  batch.add_changed(3, kNfAccept, nullptr, bytes_of(a));
  batch.add(4, kNfDrop, nullptr);
  batch.add_changed(5, kNfAccept, nullptr, bytes_of(b));
  batch.add(6, kNfAccept, nullptr);
  EXPECT_EQ(describe(batch.gather()),
            "batch 2:1 | one 3:1 'abc' | one 4:0 | one 5:1 'defgh' | one 6:1");
}

TEST(VerdictBatchTest, AnotherVerdictOrMarkBeginsANewRun) {
  VerdictBatch batch(7, 8);
  const uint32_t mark = 5;
  const uint32_t other = 6;
  batch.add(1, kNfAccept, nullptr);
  batch.add(2, kNfAccept, &mark);
  batch.add(3, kNfAccept, &mark);
  batch.add(4, kNfAccept, &other);
  batch.add(5, kNfDrop, &other);
  EXPECT_EQ(describe(batch.gather()),
            "one 1:1 | batch 3:1 mark 5 | one 4:1 mark 6 | one 5:0 mark 6");
}

TEST(VerdictBatchTest, WhileKeptApartNoVerdictTakesAnotherPacket) {
  VerdictBatch batch(7, 16);
  for (uint32_t id = 1; id <= 2; ++id) batch.add(id, kNfAccept, nullptr);
  batch.keep_apart(true);  // 3 stays
  for (uint32_t id = 4; id <= 6; ++id) batch.add(id, kNfAccept, nullptr);
  batch.add(3, kNfAccept, nullptr);
  batch.keep_apart(false);
  for (uint32_t id = 7; id <= 9; ++id) batch.add(id, kNfAccept, nullptr);
  EXPECT_EQ(describe(batch.gather()),
            "batch 2:1 | one 4:1 | one 5:1 | one 6:1 | one 3:1 | batch 9:1");
}

TEST(VerdictBatchTest, HoldsItsMaximumWhileKeptApart) {
  constexpr size_t kMax = 32;
  VerdictBatch batch(7, kMax);
  batch.keep_apart(true);
  for (int round = 0; round < 2; ++round) {
    std::string expected;
    for (uint32_t id = 0; id < kMax; ++id) {
      batch.add(id, kNfAccept, nullptr);
      expected += fmt::format("{}one {}:1", expected.empty() ? "" : " | ", id);
    }
    EXPECT_EQ(describe(batch.gather()), expected);
    batch.clear();
  }
}

TEST(VerdictBatchTest, AVerdictThatFitsAroundItsPayloadIsOnePiece) {
  const uint32_t mark = 9;
  for (const bool marked : {false, true}) {
    const size_t head = kVerdictHeaderSize + 4 + (marked ? kVerdictMarkSize : 0);
    for (size_t before = head - 1; before <= head + 1; ++before) {
      for (const size_t after : {0u, 3u}) {
        std::string around(before + 5 + after, 'x');
        around.replace(before, 5, "hello");
        VerdictBatch batch(7, 2);
        batch.add_changed(3, kNfAccept, marked ? &mark : nullptr,
                          bytes_of(around).subspan(before, 5), {before, after});
        EXPECT_EQ(describe(batch.gather()), marked ? "one 3:1 mark 9 'hello'" : "one 3:1 'hello'");
        const size_t pieces = (before < head ? 2u : 1u) + (after < 3 ? 1u : 0u);
        EXPECT_EQ(batch.gather().size(), pieces) << before << " before, " << after << " behind";
        EXPECT_EQ(batch.bytes(), head + 8);
        if (before > head) {
          EXPECT_EQ(around[before - head - 1], 'x') << "beyond the verdict";
        }
      }
    }
  }
}

TEST(VerdictBatchTest, HoldsItsMaximumAndStartsAnew) {
  constexpr size_t kMax = 32;
  VerdictBatch batch(7, kMax);
  std::vector<std::string> payloads(kMax, "odd");
  const uint32_t mark = 1;
  for (int round = 0; round < 3; ++round) {
    std::string expected;
    for (uint32_t id = 0; id < kMax; ++id) {
      batch.add_changed(id, kNfAccept, &mark, bytes_of(payloads[id]));
      expected += fmt::format("{}one {}:1 mark 1 'odd'", expected.empty() ? "" : " | ", id);
    }
    EXPECT_EQ(describe(batch.gather()), expected);
    EXPECT_EQ(batch.bytes(), flatten(batch.gather()).size());
    batch.clear();
    EXPECT_EQ(batch.bytes(), 0u);
    EXPECT_TRUE(batch.gather().empty());
  }
}

}  // namespace
}  // namespace fettle
