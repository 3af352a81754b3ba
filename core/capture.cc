#include "core/capture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace fettle {
namespace {

std::string hex_of(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    out += fmt::format("{}{:02x}", out.empty() ? "" : " ", std::to_integer<unsigned>(byte));
  }
  return out;
}

}  // namespace

struct CaptureReader::State {
  std::string name;
  int fd = -1;
  int end_on = -1;
  bool ended = false;
  std::optional<uint64_t> size;
  CaptureFraming framing;
  std::vector<std::byte> tail;  // read, and not yet handed out
  uint64_t position = 0;        // in the input, of what was not handed out
  std::optional<Error> damage;

  ~State() {
    if (fd > STDIN_FILENO) close(fd);
  }

  // False where the wait was ended.
  bool wait() const {
    pollfd ready[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                      {.fd = end_on, .events = POLLIN, .revents = 0}};
    while (poll(ready, 2, -1) < 0 && errno == EINTR) continue;
    return ready[1].revents == 0;
  }

  // One read; 0: the end.
  Result<size_t> read_into(std::span<std::byte> room) {
    if (!size && end_on >= 0 && !wait()) return 0;
    for (;;) {
      const ssize_t got = ::read(fd, room.data(), room.size());
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      return fail(ErrorCode::kIo, fmt::format("cannot read {}: {}", name, std::strerror(errno)));
    }
  }

  Result<void> start();
  void reserve(CapturePiece& piece, size_t held, size_t wanted) const;
  size_t find_records(CapturePiece& piece, size_t held);
};

Result<void> CaptureReader::State::start() {
  tail.resize(CaptureFraming::kStart);
  size_t held = 0;
  while (!ended && held < tail.size()) {
    const auto got = read_into(std::span(tail).subspan(held));
    if (!got) return std::unexpected(got.error());
    ended = *got == 0;
    held += *got;
  }
  tail.resize(held);
  if (framing.start(tail)) return {};
  return fail(
      ErrorCode::kData,
      fmt::format(
          "{} is no capture: it begins with {}, expected a pcap or pcapng file (a1 b2 c3 d4, "
          "a1 b2 3c 4d in either order, or 0a 0d 0d 0a)",
          name, held == 0 ? "nothing" : hex_of(std::span(tail).first(std::min<size_t>(held, 4)))));
}

// A buffer that a long record has needed is given back at the next turn.
void CaptureReader::State::reserve(CapturePiece& piece, size_t held, size_t wanted) const {
  const size_t capacity = std::max(wanted, kPiece);
  if (piece.capacity_ == capacity) return;
  std::unique_ptr<std::byte[]> buffer(new std::byte[capacity]);
  if (held > 0) std::memcpy(buffer.get(), piece.buffer_.get(), held);
  piece.buffer_ = std::move(buffer);
  piece.capacity_ = capacity;
}

// Returns how many of the bytes that the piece holds are in its records.
size_t CaptureReader::State::find_records(CapturePiece& piece, size_t held) {
  const std::span<std::byte> bytes(piece.buffer_.get(), held);
  size_t at = 0;
  while (at < held && !damage) {
    Record record;
    const auto found = framing.next(bytes.subspan(at), ended, &record);
    if (found == CaptureFraming::Found::kMore) return at;
    if (found == CaptureFraming::Found::kDamage) {
      damage = Error{ErrorCode::kData, fmt::format("{}: damaged at byte {}: {}", name,
                                                   position + at, framing.damage())};
      break;
    }
    piece.records.push_back(record);
    at += record.raw.size();
  }
  if (at < held) piece.records.push_back({.raw = bytes.subspan(at)});
  return held;
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
  if (auto started = state->start(); !started) return std::unexpected(started.error());
  return CaptureReader(std::move(state));
}

Result<void> CaptureReader::read(CapturePiece* piece) {
  State& state = *state_;
  piece->records.clear();
  size_t held = state.tail.size();
  state.reserve(*piece, 0, held);
  std::ranges::copy(state.tail, piece->buffer_.get());
  for (;;) {
    const size_t used = state.find_records(*piece, held);
    if (!piece->records.empty() || state.ended) {
      state.tail.assign(piece->buffer_.get() + used, piece->buffer_.get() + held);
      state.position += used;
      piece->end = state.position;
      return {};
    }
    if (held > 0) state.reserve(*piece, held, state.framing.wanted());
    const auto got = state.read_into({piece->buffer_.get() + held, piece->capacity_ - held});
    if (!got) return std::unexpected(got.error());
    state.ended = *got == 0;
    held += *got;
  }
}

const std::optional<Error>& CaptureReader::damage() const { return state_->damage; }
void CaptureReader::end_on(int fd) { state_->end_on = fd; }
std::optional<uint64_t> CaptureReader::size() const { return state_->size; }

}  // namespace fettle
