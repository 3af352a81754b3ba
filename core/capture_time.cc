#include "core/capture_time.h"

#include <bit>

#include "core/bytes.h"

namespace fettle {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// The time stamp's two words: seconds and a fraction, or the halves of a count of units.
constexpr size_t kPcapWords = 0;
constexpr size_t kBlockWords = 12;

class Words {
 public:
  Words(const Record& record, size_t at) : at_(record.raw.data() + at), swapped_(record.swapped) {}
  uint64_t get(size_t i) const { return turned(load<uint32_t>(at_ + 4 * i)); }
  void put(size_t i, uint64_t value) { store(at_ + 4 * i, turned(static_cast<uint32_t>(value))); }

 private:
  uint32_t turned(uint32_t value) const { return swapped_ ? std::byteswap(value) : value; }
  std::byte* at_;
  bool swapped_;
};

uint64_t units(const Record& record, uint64_t nanoseconds) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{nanoseconds} * record.units_per_second / kSecond);
}

}  // namespace

void move_time(Record* record, uint64_t nanoseconds) {
  record->time_ns += nanoseconds;
  if (record->kind == Record::Kind::kSimpleBlock) return;
  const uint64_t later = units(*record, nanoseconds);
  if (record->kind == Record::Kind::kPcap) {
    Words words(*record, kPcapWords);
    const uint64_t fraction = words.get(1) + later;
    words.put(0, words.get(0) + fraction / record->units_per_second);
    words.put(1, fraction % record->units_per_second);
    return;
  }
  Words words(*record, kBlockWords);
  const uint64_t count = (words.get(0) << 32 | words.get(1)) + later;
  words.put(0, count >> 32);
  words.put(1, count);
}

}  // namespace fettle
