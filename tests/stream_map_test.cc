#include "core/stream_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace fettle::stream {
namespace {

struct Change {
  uint32_t at, original, replacement;  // from the start of the stream
};

// A direction with the edits given, its first byte's sequence number `start`.
struct Stream {
  Stream(uint32_t start, const std::vector<Change>& changes) {
    direction.delta = 0;
    direction.newest = kNone;
    uint32_t delta = 0;
    for (const Change& change : changes) {
      records.push_back({start + change.at, change.original, change.replacement, delta, kNone,
                         direction.newest, 0});
      direction.newest = static_cast<uint32_t>(records.size()) - 1;
      delta = records.back().delta_after();
    }
    direction.edit_count = static_cast<uint16_t>(records.size());
  }
  Map map() const { return {direction, records.data()}; }
  std::vector<EditRecord> records;
  Direction direction{};
};

const std::vector<std::vector<Change>> kChanges = {
    {},
    {{10, 5, 9}},
    {{10, 9, 5}},
    {{10, 4, 4}},
    {{10, 5, 0}},
    {{0, 3, 0}, {3, 0, 4}},
    {{10, 0, 7}},
    {{0, 0, 7}, {0, 3, 1}},
    {{10, 5, 0}, {15, 5, 0}, {20, 1, 12}},
    {{3, 2, 8}, {5, 0, 3}, {9, 6, 1}, {15, 1, 1}, {20, 4, 0}, {24, 3, 30}}};
constexpr uint32_t kStarts[] = {0, 1000, 0xfffffff0, 0x7ffffff5, 0xffffffff};

struct Row {
  uint32_t original, edited;
};

TEST(StreamMap, PutsTheFirstReplacementBytesOnTheFirstOriginalOnes) {
  const Stream grown(1000, {{10, 5, 9}});
  for (const Row& row : {Row{1000, 1000}, {1010, 1010}, {1011, 1011}, {1014, 1014}, {1015, 1019}})
    EXPECT_EQ(grown.map().to_edited(row.original), row.edited);
  const Stream shrunk(1000, {{10, 9, 5}});
  for (const Row& row : {Row{1010, 1010}, {1014, 1014}, {1015, 1015}, {1018, 1015}, {1019, 1015}})
    EXPECT_EQ(shrunk.map().to_edited(row.original), row.edited);
}

TEST(StreamMap, PutsAnInsertionBeforeItsByte) {
  const Stream stream(1000, {{10, 0, 7}});
  for (const Row& row : {Row{1009, 1009}, {1010, 1010}, {1011, 1018}})
    EXPECT_EQ(stream.map().to_edited(row.original), row.edited);
}

TEST(StreamMap, AcknowledgesNoByteThatAPartOfAReplacementDoesNotHold) {
  const Stream grown(1000, {{10, 5, 9}});
  for (const Row& row : {Row{1010, 1010}, {1012, 1012}, {1014, 1014}, {1014, 1018}, {1015, 1019}})
    EXPECT_EQ(grown.map().to_original(row.edited), row.original);
  const Stream inserted(1000, {{10, 0, 7}});
  for (const Row& row : {Row{1010, 1010}, {1010, 1016}, {1010, 1017}, {1011, 1018}})
    EXPECT_EQ(inserted.map().to_original(row.edited), row.original);
}

TEST(StreamMap, AcknowledgesDeletedBytesWithWhatStandsBefore) {
  EXPECT_EQ(Stream(1000, {{10, 5, 0}}).map().to_original(1010), 1015u);
}

TEST(StreamMap, ShiftsByTheDeltaOfWhatIsForgotten) {
  Stream stream(1000, {});
  stream.direction.delta = 4;
  EXPECT_EQ(stream.map().to_edited(1010), 1014u);
  EXPECT_EQ(stream.map().to_original(1014), 1010u);
  EXPECT_EQ(stream.map().to_original_up(1014), 1010u);
}

TEST(StreamMap, IsMonotone) {
  for (const auto& changes : kChanges) {
    for (const uint32_t start : kStarts) {
      const Stream stream(start, changes);
      const Map map = stream.map();
      for (uint32_t i = 0; i < 60; ++i)
        EXPECT_FALSE(before(map.to_edited(start + i + 1), map.to_edited(start + i))) << i;
    }
  }
}

// By trying every original number: the largest whose image is not beyond, the smallest whose image
// is not before.
TEST(StreamMap, IsInvertedOnTheSafeSide) {
  for (const auto& changes : kChanges) {
    for (const uint32_t start : kStarts) {
      const Stream stream(start, changes);
      const Map map = stream.map();
      for (uint32_t edited = 0; edited < 90; ++edited) {
        uint32_t down = 0, up = 200;
        for (uint32_t i = 0; i < 150; ++i) {
          const uint32_t image = map.to_edited(start + i) - start;
          if (image <= edited) down = i;
          if (image >= edited) up = std::min(up, i);
        }
        EXPECT_EQ(map.to_original(start + edited) - start, down) << edited;
        EXPECT_EQ(map.to_original_up(start + edited) - start, up) << edited;
      }
    }
  }
}

}  // namespace
}  // namespace fettle::stream
