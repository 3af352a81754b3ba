#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/capture.h"

namespace fettle {
namespace {
constexpr size_t kBuffer = 1 << 20;
constexpr size_t kDirect = 64 << 10;  // what is longer is not copied
}  // namespace

struct CaptureWriter::State {
  std::string name;
  int fd = -1;
  std::unique_ptr<std::byte[]> buffer{new std::byte[kBuffer]};
  size_t used = 0;

  ~State() {
    if (fd > STDOUT_FILENO) ::close(fd);
  }

  Result<void> write_all(const std::byte* at, size_t size) {
    while (size > 0) {
      const ssize_t written = write(fd, at, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return failed();
      at += written;
      size -= static_cast<size_t>(written);
    }
    return {};
  }
  Result<void> flush() { return write_all(buffer.get(), std::exchange(used, 0)); }
  std::unexpected<Error> failed() const {
    return fail(ErrorCode::kIo, fmt::format("cannot write {}: {}", name, std::strerror(errno)));
  }
};

CaptureWriter::CaptureWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureWriter::CaptureWriter(CaptureWriter&&) noexcept = default;
CaptureWriter& CaptureWriter::operator=(CaptureWriter&&) noexcept = default;
CaptureWriter::~CaptureWriter() = default;

Result<CaptureWriter> CaptureWriter::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->name = path == "-" ? "standard output" : path;
  state->fd = path == "-" ? STDOUT_FILENO
                          : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (state->fd < 0) {
    return fail(ErrorCode::kCannotCreate,
                fmt::format("cannot create {}: {}", state->name, std::strerror(errno)));
  }
  return CaptureWriter(std::move(state));
}

Result<void> CaptureWriter::append(std::span<const std::byte> bytes) {
  State& state = *state_;
  if (bytes.empty()) return {};
  if (state.used + bytes.size() > kBuffer || bytes.size() >= kDirect) {
    if (auto flushed = state.flush(); !flushed) return flushed;
    if (bytes.size() >= kDirect) return state.write_all(bytes.data(), bytes.size());
  }
  std::memcpy(state.buffer.get() + state.used, bytes.data(), bytes.size());
  state.used += bytes.size();
  return {};
}

Result<void> CaptureWriter::flush() { return state_->flush(); }

Result<void> CaptureWriter::close() {
  State& state = *state_;
  if (auto flushed = state.flush(); !flushed) return flushed;
  if (state.fd > STDOUT_FILENO && ::close(std::exchange(state.fd, -1)) != 0) return state.failed();
  return {};
}

}  // namespace fettle
