#include "core/capture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/capture_format.h"

namespace fettle {

namespace format = capture_format;

namespace {

constexpr size_t kFirstBuffer = 1 << 20;

struct Interface {
  uint32_t link_type = 0;
  uint32_t snaplen = 0;
  uint64_t units_per_second = 1'000'000;
  int64_t offset_seconds = 0;
};

// if_tsresol: the highest bit chooses powers of 2, else of 10. `otherwise`: more than 64 bits hold.
uint64_t units_per_second(uint8_t resolution, uint64_t otherwise) {
  const unsigned exponent = resolution & 0x7f;
  const bool power_of_two = resolution & 0x80;
  if (exponent > (power_of_two ? 63u : 19u)) return otherwise;
  uint64_t units = 1;
  for (unsigned i = 0; i < exponent; ++i) units *= power_of_two ? 2 : 10;
  return units;
}

std::string hex_of(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    out += fmt::format("{}{:02x}", out.empty() ? "" : " ", std::to_integer<unsigned>(byte));
  }
  return out;
}

}  // namespace

struct CaptureReader::State {
  enum class Kind : uint8_t { kPcap, kPcapng };

  std::string name;
  int fd = -1;
  bool ended = false;
  std::unique_ptr<std::byte[]> buffer{new std::byte[kFirstBuffer]};
  size_t capacity = kFirstBuffer;
  size_t begin = 0;  // of what was not handed out
  size_t end = 0;
  uint64_t position = 0;  // in the input, of `begin`
  std::optional<uint64_t> size;
  std::function<Result<void>()> before_read;

  Kind kind = Kind::kPcap;
  bool swapped = false;
  bool started = false;  // the pcap file header was handed out
  bool nanoseconds = false;
  uint32_t link_type = 0;
  std::vector<Interface> interfaces;

  ~State() {
    if (fd > STDIN_FILENO) close(fd);
  }

  uint16_t u16(const std::byte* at) const {
    return swapped ? std::byteswap(load<uint16_t>(at)) : load<uint16_t>(at);
  }
  uint32_t u32(const std::byte* at) const {
    return swapped ? std::byteswap(load<uint32_t>(at)) : load<uint32_t>(at);
  }
  std::byte* data() { return buffer.get() + begin; }
  size_t available() const { return end - begin; }

  // At least `wanted` bytes from `begin`; fewer at the end of the input.
  Result<bool> have(size_t wanted) {
    if (available() >= wanted) return true;
    if (before_read) {
      if (auto done = before_read(); !done) return std::unexpected(done.error());
    }
    if (begin > 0) {
      std::memmove(buffer.get(), data(), available());
      end -= begin;
      begin = 0;
    }
    if (wanted > capacity) {
      std::unique_ptr<std::byte[]> larger(new std::byte[wanted]);
      std::memcpy(larger.get(), buffer.get(), end);
      buffer = std::move(larger);
      capacity = wanted;
    }
    while (!ended && end < wanted) {
      const ssize_t got = read(fd, buffer.get() + end, capacity - end);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", name, std::strerror(errno)));
      }
      ended = got == 0;
      end += static_cast<size_t>(got);
    }
    return end >= wanted;
  }

  std::span<std::byte> hand_out(size_t length) {
    const std::span<std::byte> out(data(), length);
    begin += length;
    position += length;
    return out;
  }

  std::unexpected<Error> damaged(std::string found_and_expected) const {
    return fail(ErrorCode::kData,
                fmt::format("{}: damaged at byte {}: {}", name, position, found_and_expected));
  }

  Result<void> detect();
  Result<std::optional<Record>> next_pcap();
  Result<std::optional<Record>> next_block();
  Result<void> start_section();
  bool read_interface(std::span<const std::byte> body);
  bool read_packet(uint32_t type, std::span<std::byte> body, Record* record);
  bool take_frame(const Interface& interface, std::span<std::byte> bytes, uint32_t captured,
                  uint64_t units, Record* record) const;
};

Result<void> CaptureReader::State::detect() {
  auto enough = have(format::kPcapHeader);
  if (!enough) return std::unexpected(enough.error());
  if (available() >= 4) {
    const uint32_t magic = load<uint32_t>(data());
    if (magic == format::kSectionHeader) {
      kind = Kind::kPcapng;
      return {};
    }
    for (const uint32_t known : {format::kPcapMicroseconds, format::kPcapNanoseconds}) {
      if (magic != known && magic != std::byteswap(known)) continue;
      if (!*enough) break;
      swapped = magic != known;
      nanoseconds = known == format::kPcapNanoseconds;
      link_type = u32(data() + 20) & format::kPcapLinkTypeMask;
      return {};
    }
  }
  return fail(
      ErrorCode::kData,
      fmt::format(
          "{} is no capture: it begins with {}, expected a pcap or pcapng file (a1 b2 c3 d4, "
          "a1 b2 3c 4d in either order, or 0a 0d 0d 0a)",
          name, available() == 0 ? "nothing" : hex_of({data(), std::min<size_t>(available(), 4)})));
}

Result<std::optional<Record>> CaptureReader::State::next_pcap() {
  if (!std::exchange(started, true)) {
    Record header;
    header.raw = hand_out(format::kPcapHeader);
    return header;
  }
  auto enough = have(format::kPcapRecord);
  if (!enough) return std::unexpected(enough.error());
  if (available() == 0) return std::nullopt;
  if (!*enough) {
    return damaged(fmt::format("found {} bytes, expected a record's header of {}", available(),
                               format::kPcapRecord));
  }
  const uint32_t captured = u32(data() + 8);
  if (captured > format::kLongestRecord) {
    return damaged(fmt::format("found a record of {} bytes, expected at most {}", captured,
                               format::kLongestRecord));
  }
  const size_t length = format::kPcapRecord + captured;
  enough = have(length);
  if (!enough) return std::unexpected(enough.error());
  if (!*enough) {
    return damaged(
        fmt::format("found {} bytes of a record's {}; the file was cut", available(), length));
  }
  Record record;
  const uint64_t fraction = u32(data() + 4);
  record.time_ns = uint64_t{u32(data())} * 1'000'000'000 + fraction * (nanoseconds ? 1 : 1000);
  record.original = u32(data() + 12);
  record.link_type = link_type;
  record.raw = hand_out(length);
  record.frame = record.raw.subspan(format::kPcapRecord);
  return record;
}

Result<void> CaptureReader::State::start_section() {
  const uint32_t order = load<uint32_t>(data() + 8);
  if (order != format::kByteOrder && order != std::byteswap(format::kByteOrder)) {
    return damaged(
        fmt::format("found byte order mark {:08x}, expected 1a2b3c4d in either order", order));
  }
  swapped = order != format::kByteOrder;
  interfaces.clear();
  return {};
}

Result<std::optional<Record>> CaptureReader::State::next_block() {
  auto enough = have(format::kBlockOverhead);
  if (!enough) return std::unexpected(enough.error());
  if (available() == 0) return std::nullopt;
  if (!*enough) {
    return damaged(fmt::format("found {} bytes, expected a block of at least {}", available(),
                               format::kBlockOverhead));
  }
  if (load<uint32_t>(data()) == format::kSectionHeader) {
    if (auto section = start_section(); !section) return std::unexpected(section.error());
  }
  const uint32_t type = u32(data());
  const uint32_t length = u32(data() + 4);
  if (length < format::kBlockOverhead || length % 4 != 0 || length > format::kLongestRecord) {
    return damaged(fmt::format("found a block of {} bytes, expected a multiple of 4 from {} to {}",
                               length, format::kBlockOverhead, format::kLongestRecord));
  }
  enough = have(length);
  if (!enough) return std::unexpected(enough.error());
  if (!*enough) {
    return damaged(
        fmt::format("found {} bytes of a block's {}; the file was cut", available(), length));
  }
  const uint32_t again = u32(data() + length - 4);
  if (again != length) {
    return damaged(
        fmt::format("found block lengths {} and {}, expected the same twice", length, again));
  }
  const std::span<std::byte> body(data() + 8, length - format::kBlockOverhead);
  Record record;
  bool right = true;
  if (type == format::kInterfaceBlock) right = read_interface(body);
  if (type == format::kEnhancedPacketBlock || type == format::kSimplePacketBlock ||
      type == format::kPacketBlock) {
    right = read_packet(type, body, &record);
  }
  if (!right) {
    return damaged(
        fmt::format("found a block of type {} and {} bytes whose parts do not fit in it, or whose "
                    "interface was not described before",
                    type, length));
  }
  record.raw = hand_out(length);
  return record;
}

bool CaptureReader::State::read_interface(std::span<const std::byte> body) {
  if (body.size() < 8) return false;
  Interface out;
  out.link_type = u16(body.data());
  out.snaplen = u32(body.data() + 4);
  body = body.subspan(8);
  while (body.size() >= 4) {
    const uint16_t code = u16(body.data());
    const size_t length = u16(body.data() + 2);
    if (code == 0 || 4 + length > body.size()) break;  // damaged options do no harm to packets
    const std::byte* value = body.data() + 4;
    if (code == format::kOptionTimeResolution && length == 1) {
      out.units_per_second = units_per_second(load_u8(value), out.units_per_second);
    }
    if (code == format::kOptionTimeOffset && length == 8) {
      uint64_t offset = load<uint64_t>(value);
      if (swapped) offset = std::byteswap(offset);
      out.offset_seconds = static_cast<int64_t>(offset);
    }
    body = body.subspan(std::min(body.size(), 4 + (length + 3) / 4 * 4));
  }
  interfaces.push_back(out);
  return true;
}

bool CaptureReader::State::take_frame(const Interface& interface, std::span<std::byte> bytes,
                                      uint32_t captured, uint64_t units, Record* record) const {
  if (captured > bytes.size()) return false;
  const uint64_t per_second = interface.units_per_second;
  const auto seconds = units / per_second + static_cast<uint64_t>(interface.offset_seconds);
  const auto part = static_cast<double>(units % per_second) / static_cast<double>(per_second);
  record->time_ns = seconds * 1'000'000'000 + static_cast<uint64_t>(std::llround(part * 1e9));
  record->link_type = interface.link_type;
  record->frame = bytes.first(captured);
  return true;
}

bool CaptureReader::State::read_packet(uint32_t type, std::span<std::byte> body, Record* record) {
  const std::byte* at = body.data();
  if (type == format::kSimplePacketBlock) {
    if (body.size() < 4 || interfaces.empty()) return false;
    record->original = u32(at);
    const uint32_t snaplen = interfaces[0].snaplen == 0 ? UINT32_MAX : interfaces[0].snaplen;
    return take_frame(interfaces[0], body.subspan(4), std::min(record->original, snaplen), 0,
                      record);
  }
  constexpr size_t kFixed = 20;
  if (body.size() < kFixed) return false;
  const uint32_t interface = type == format::kPacketBlock ? u16(at) : u32(at);
  if (interface >= interfaces.size()) return false;
  const uint64_t units = uint64_t{u32(at + 4)} << 32 | u32(at + 8);
  record->original = u32(at + 16);
  return take_frame(interfaces[interface], body.subspan(kFixed), u32(at + 12), units, record);
}

CaptureReader::CaptureReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureReader::CaptureReader(CaptureReader&&) noexcept = default;
CaptureReader& CaptureReader::operator=(CaptureReader&&) noexcept = default;
CaptureReader::~CaptureReader() = default;

Result<CaptureReader> CaptureReader::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->name = path == "-" ? "standard input" : path;
  state->fd = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (state->fd < 0 || fstat(state->fd, &status) != 0) {
    return fail(ErrorCode::kNoInput,
                fmt::format("cannot open {}: {}", state->name, std::strerror(errno)));
  }
  if (S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::kNoInput, fmt::format("cannot read {}: it is a directory", state->name));
  }
  if (S_ISREG(status.st_mode)) {
    state->size = static_cast<uint64_t>(status.st_size);
    posix_fadvise(state->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  if (auto detected = state->detect(); !detected) return std::unexpected(detected.error());
  return CaptureReader(std::move(state));
}

void CaptureReader::before_read(std::function<Result<void>()> call) {
  state_->before_read = std::move(call);
}

Result<std::optional<Record>> CaptureReader::next() {
  return state_->kind == State::Kind::kPcap ? state_->next_pcap() : state_->next_block();
}

Result<std::span<const std::byte>> CaptureReader::remainder() {
  State& state = *state_;
  if (state.available() == 0) {
    if (const auto more = state.have(1); !more) return std::unexpected(more.error());
  }
  return state.hand_out(state.available());
}

std::optional<uint64_t> CaptureReader::size() const { return state_->size; }
uint64_t CaptureReader::position() const { return state_->position; }

}  // namespace fettle
