#include "core/capture_resize.h"

#include <bit>

#include "core/bytes.h"
#include "core/capture_format.h"
#include "core/link_layer.h"

namespace fettle {
namespace {

// Places in an enhanced packet block and in the obsolete packet block.
constexpr size_t kBlockCaptured = 20;
constexpr size_t kBlockOriginal = 24;

constexpr size_t padded(size_t size) { return (size + 3) & ~size_t{3}; }

using Out = std::vector<std::byte>;

void append(Out& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void put(const Record& record, std::byte* at, size_t value) {
  const auto number = static_cast<uint32_t>(value);
  store(at, record.swapped ? std::byteswap(number) : number);
}

}  // namespace

bool can_resize(const Record& record) { return record.kind != Record::Kind::kSimpleBlock; }

std::vector<std::byte> resized(const Record& record, size_t at, size_t size,
                               std::span<const std::byte> packet) {
  const auto begin = static_cast<size_t>(record.frame.data() - record.raw.data());
  const size_t captured = record.frame.size() - size + packet.size();
  const size_t original = record.original - size + packet.size();
  Out out;
  out.reserve(record.raw.size() + packet.size() + 4);
  append(out, record.raw.first(begin + at));
  change_link_length(record.link_type, std::span(out).subspan(begin),
                     static_cast<int64_t>(packet.size()) - static_cast<int64_t>(size));
  append(out, packet);
  append(out, record.frame.subspan(at + size));
  if (record.kind == Record::Kind::kPcap) {
    put(record, out.data() + 8, captured);
    put(record, out.data() + 12, original);
    return out;
  }
  out.resize(begin + padded(captured));
  append(out, record.raw.subspan(begin + padded(record.frame.size())));
  put(record, out.data() + kBlockCaptured, captured);
  put(record, out.data() + kBlockOriginal, original);
  put(record, out.data() + 4, out.size());
  put(record, out.data() + out.size() - 4, out.size());
  return out;
}

}  // namespace fettle
