// CRC32c (Castagnoli, RFC 3720 B.4, RFC 9260 appendix A), reflected: by SSE4.2 where the processor
// has it, else eight tables, a byte of each eight looked up in one of them ("slicing by 8").
#include <algorithm>
#include <array>

#include "core/bytes.h"
#include "core/checksum.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace fettle {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 reflected

constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}();

template <typename T>
T little_endian(T value) {
  return std::endian::native == std::endian::little ? value : std::byteswap(value);
}

uint32_t extend_by_tables(uint32_t crc, const std::byte* at, size_t size) {
  for (; size >= 8; at += 8, size -= 8) {
    const uint64_t word = little_endian(load<uint64_t>(at)) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; size > 0; ++at, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ load_u8(at)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t extend_by_sse42(uint32_t crc, const std::byte* at,
                                                           size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, load<uint64_t>(at));
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; ++at, --size) crc = _mm_crc32_u8(crc, load_u8(at));
  return crc;
}
#endif

}  // namespace

uint32_t extend_crc32c(uint32_t crc, std::span<const std::byte> bytes, CrcWay way) {
#if defined(__x86_64__)
  if (way == CrcWay::kFastest && __builtin_cpu_supports("sse4.2")) {
    return extend_by_sse42(crc, bytes.data(), bytes.size());
  }
#endif
  static_cast<void>(way);
  return extend_by_tables(crc, bytes.data(), bytes.size());
}

uint32_t sctp_crc32c(std::span<const std::byte> packet) {
  constexpr std::array<std::byte, 4> kZeros{};
  uint32_t crc = extend_crc32c(0xffffffff, packet.first(8));
  crc = extend_crc32c(crc, kZeros);
  crc = extend_crc32c(crc, packet.subspan(12));
  return little_endian(~crc);
}

uint32_t update_crc32c(uint32_t field, std::span<const std::byte> old_bytes,
                       std::span<const std::byte> new_bytes, uint32_t after) {
  std::array<std::byte, 64> difference;
  uint32_t crc = 0;
  for (size_t at = 0; at < old_bytes.size();) {
    const size_t step = std::min(difference.size(), old_bytes.size() - at);
    for (size_t i = 0; i < step; ++i) difference[i] = old_bytes[at + i] ^ new_bytes[at + i];
    crc = extend_crc32c(crc, {difference.data(), step});
    at += step;
  }
  static constexpr std::array<std::byte, 1024> kZeros{};
  while (after > 0) {
    const size_t step = std::min<size_t>(kZeros.size(), after);
    crc = extend_crc32c(crc, {kZeros.data(), step});
    after -= static_cast<uint32_t>(step);
  }
  return field ^ little_endian(crc);
}

}  // namespace fettle
