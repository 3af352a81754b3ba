#include "workers/held_packets.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/shared_memory.h"

namespace fettle {
namespace {

// Room for one packet of bytes, as an inbox has it.
struct Slot {
  std::array<std::byte, HeldPackets::kLarge> bytes{};

  InHand packet(uint32_t id, std::string_view payload) {
    std::memcpy(bytes.data(), payload.data(), payload.size());
    InHand hand;
    hand.queued.id = id;
    hand.queued.payload = std::span(bytes).first(payload.size());
    hand.packet.data = bytes.data();
    hand.packet.size = static_cast<uint32_t>(payload.size());
    return hand;
  }
};

// Memory that outlives who uses it.
struct Room {
  explicit Room(const HeldPackets::Size& size)
      : memory(std::move(*SharedMemory::create(HeldPackets::bytes(size)))),
        held(memory.bytes(), size) {
    held.begin();
  }
  SharedMemory memory;
  HeldPackets held;
};

std::string text(const InHand& hand) {
  const auto payload = hand.queued.payload;
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

// The ids of those that are due, as they are taken.
std::vector<uint32_t> take_due(HeldPackets& held, uint64_t now) {
  std::vector<uint32_t> out;
  while (HeldPacket* packet = held.due(now)) {
    out.push_back(packet->hand.queued.id);
    held.take(*packet);
  }
  held.recycle();
  return out;
}

using Ids = std::vector<uint32_t>;

TEST(HeldPacketsTest, ComeDueByDeadlineAndThenInTheOrderInWhichTheyCame) {
  Room room({.packets = 8});
  HeldPackets& held = room.held;
  EXPECT_EQ(held.next_deadline(), HeldPackets::kNever);
  const uint64_t deadlines[] = {300, 100, 200, 100, 300};
  for (uint32_t i = 0; i < 5; ++i) {
    InHand hand;
    hand.queued.id = i;
    ASSERT_NE(held.hold(hand, 0, deadlines[i], HeldPackets::kNoTag), nullptr);
  }
  EXPECT_EQ(held.next_deadline(), 100u);
  EXPECT_EQ(take_due(held, 99), Ids{});
  EXPECT_EQ(take_due(held, 200), (Ids{1, 3, 2}));
  EXPECT_EQ(held.count(), 2u);
  EXPECT_EQ(take_due(held, HeldPackets::kNever), (Ids{0, 4}));
  EXPECT_TRUE(held.empty());
  EXPECT_EQ(held.due(HeldPackets::kNever), nullptr);
}

TEST(HeldPacketsTest, BytesAreKeptWhereTheyAreWanted) {
  Room room({.packets = 3, .small = 1, .large = 1});
  HeldPackets& held = room.held;
  Slot slot;
  InHand hand = slot.packet(1, "unchanged");
  const HeldPacket* bare = held.hold(hand, 0, 1, HeldPackets::kNoTag);
  hand = slot.packet(2, "some bytes");
  hand.packet.changed = true;
  const HeldPacket* small = held.hold(hand, 1, 2, HeldPackets::kNoTag);
  hand = slot.packet(3, "others");
  hand.packet.capacity = 100;
  const HeldPacket* large = held.hold(hand, HeldPackets::kSmall + 1, 3, HeldPackets::kNoTag);
  ASSERT_TRUE(bare && small && large);
  slot.bytes.fill(std::byte{0xff});

  EXPECT_TRUE(bare->hand.queued.payload.empty());
  EXPECT_EQ(bare->hand.packet.data, nullptr);
  EXPECT_EQ(text(small->hand), "some bytes");
  EXPECT_EQ(small->hand.packet.data, small->hand.queued.payload.data());
  EXPECT_TRUE(small->hand.packet.changed);
  EXPECT_EQ(small->hand.packet.capacity, 0u) << "its length was to stay";
  EXPECT_EQ(text(large->hand), "others");
  EXPECT_EQ(large->hand.packet.capacity, HeldPackets::kLarge);
  EXPECT_GE(large->hand.queued.before, kMaxVerdictHead);
  // All that is said to be there can be written to, and reaches nobody else's bytes.
  std::memset(large->hand.packet.data - large->hand.queued.before, 'x',
              large->hand.queued.before + HeldPackets::kLarge + 4);
  EXPECT_EQ(text(small->hand), "some bytes");
}

TEST(HeldPacketsTest, APacketOfAnotherLengthIsKeptInThatLength) {
  Room room({.packets = 1, .small = 1});
  HeldPackets& held = room.held;
  Slot slot;
  InHand hand = slot.packet(1, "longer than it came");
  hand.queued.payload = std::span(slot.bytes).first(4);
  hand.packet.resized = true;
  hand.packet.capacity = 65531;
  const HeldPacket* packet = held.hold(hand, 1, 1, HeldPackets::kNoTag);
  ASSERT_NE(packet, nullptr);
  EXPECT_EQ(text(packet->hand), "longer than it came");
  EXPECT_EQ(packet->hand.packet.size, 19u);
}

TEST(HeldPacketsTest, WhatHasNoRoomIsNotHeld) {
  Room room({.packets = 4, .small = 1, .large = 1});
  HeldPackets& held = room.held;
  Slot slot;
  InHand hand = slot.packet(1, "bytes");
  EXPECT_NE(held.hold(hand, 1, 1, HeldPackets::kNoTag), nullptr);
  EXPECT_NE(held.hold(hand, 1, 1, HeldPackets::kNoTag), nullptr) << "the large one does as well";
  EXPECT_EQ(held.hold(hand, 1, 1, HeldPackets::kNoTag), nullptr);
  EXPECT_NE(held.hold(hand, 0, 1, HeldPackets::kNoTag), nullptr) << "without bytes";
  EXPECT_NE(held.hold(hand, 0, 1, HeldPackets::kNoTag), nullptr);
  EXPECT_EQ(held.hold(hand, 0, 1, HeldPackets::kNoTag), nullptr);
  EXPECT_EQ(held.count(), 4u);
}

// One connection that leaves a hole on purpose must not keep all others from waiting.
TEST(HeldPacketsTest, OneTagLeavesRoomToOthers) {
  Room room({.packets = 64, .small = 64, .large = 8});
  HeldPackets& held = room.held;
  Slot slot;
  const auto hold_all = [&](uint64_t tag, size_t bytes) {
    uint32_t count = 0;
    while (held.hold(slot.packet(++count, std::string(bytes, 'x')), 1, 1, tag)) continue;
    return count - 1;
  };
  EXPECT_EQ(hold_all(1, 10), 32u);
  EXPECT_EQ(hold_all(2, 10), 16u);
  EXPECT_EQ(hold_all(3, HeldPackets::kSmall + 1), 4u);
  EXPECT_EQ(hold_all(4, HeldPackets::kSmall + 1), 2u);
  held.take(*held.first(1));
  held.recycle();
  EXPECT_EQ(hold_all(1, 10), 0u) << "it has more than its share";
  EXPECT_EQ(take_due(held, 1).size(), 53u);
  EXPECT_EQ(hold_all(1, 10), 32u) << "room came back";
}

TEST(HeldPacketsTest, RoomComesBackWhenItIsRecycledAndNoSooner) {
  Room room({.packets = 1, .small = 1});
  HeldPackets& held = room.held;
  Slot slot;
  for (uint32_t round = 0; round < 3; ++round) {
    HeldPacket* packet =
        held.hold(slot.packet(round, std::to_string(round)), 1, 1, HeldPackets::kNoTag);
    ASSERT_NE(packet, nullptr);
    held.take(*packet);
    EXPECT_EQ(held.hold(slot.packet(9, "9"), 1, 1, HeldPackets::kNoTag), nullptr);
    EXPECT_EQ(text(packet->hand), std::to_string(round));
    held.recycle();
  }
}

Ids ids_of(HeldPackets& held, uint64_t tag) {
  Ids out;
  for (const HeldPacket* packet = held.first(tag); packet; packet = held.next(*packet)) {
    out.push_back(packet->hand.queued.id);
  }
  return out;
}

// Against a plain list, at random: every operation, many packets a tag and many tags a bucket.
TEST(HeldPacketsTest, DoesWhatAPlainListDoes) {
  struct Plain {
    uint32_t id;
    uint64_t deadline, tag;
    HeldPacket* packet;
  };
  constexpr uint32_t kMost = 24;
  constexpr uint64_t kTags = 40;
  Room room({.packets = kMost});
  HeldPackets& held = room.held;
  std::vector<Plain> plain;  // in the order in which they came
  std::mt19937 random(1);
  const auto below = [&](size_t end) { return static_cast<uint32_t>(random() % end); };
  const auto earliest = [&] { return std::ranges::min_element(plain, {}, &Plain::deadline); };
  for (uint32_t id = 0; id < 20'000; ++id) {
    const uint64_t tag = below(3) == 0 ? HeldPackets::kNoTag : 1 + below(kTags);
    InHand hand;
    hand.queued.id = id;
    const uint64_t deadline = below(50);
    HeldPacket* packet = held.hold(hand, 0, deadline, tag);
    if (!packet && plain.size() < kMost) {  // those of its tag, or bucket, have their share
      const auto tagged =
          std::ranges::count_if(plain, [](const Plain& one) { return one.tag > 0; });
      ASSERT_NE(tag, HeldPackets::kNoTag);
      ASSERT_GE(static_cast<size_t>(tagged), kMost - plain.size());
    }
    ASSERT_TRUE(!packet || plain.size() < kMost);
    if (packet) plain.push_back({id, deadline, tag, packet});
    switch (below(4)) {
      case 0: {
        const auto next = earliest();
        ASSERT_EQ(held.next_deadline(), next->deadline);
        ASSERT_EQ(held.due(next->deadline)->hand.queued.id, next->id);
        held.take(*next->packet);
        plain.erase(next);
        break;
      }
      case 1: {
        const auto any = plain.begin() + below(plain.size());
        held.take(*any->packet);
        plain.erase(any);
        break;
      }
      case 2: {
        Plain& any = plain[below(plain.size())];
        any.deadline = below(50);
        held.postpone(*any.packet, any.deadline);
        break;
      }
      default:
        break;
    }
    held.recycle();
    ASSERT_EQ(held.count(), plain.size());
    const uint64_t asked = 1 + below(kTags);
    Ids expected;
    for (const Plain& one : plain) {
      if (one.tag == asked) expected.push_back(one.id);
    }
    ASSERT_EQ(ids_of(held, asked), expected);
    if (plain.empty()) continue;
    ASSERT_EQ(held.next_deadline(), earliest()->deadline);
  }
}

}  // namespace
}  // namespace fettle
