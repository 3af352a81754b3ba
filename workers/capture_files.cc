#include "workers/capture_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "core/raw_capture.h"

namespace fettle {
namespace {

std::unexpected<Error> cannot(const char* what, const std::string& name) {
  return fail(ErrorCode::kCannotCreate,
              fmt::format("capture: cannot {} {}: {}", what, name, std::strerror(errno)));
}

std::string first_bytes(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes.first(std::min<size_t>(bytes.size(), 4))) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  }
  return out;
}

Result<void> begin_or_go_on(int fd, const std::string& name) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return cannot("look at", name);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kCannotCreate,
                fmt::format("capture: {} is no regular file, expected one to append to", name));
  }
  if (status.st_size == 0) {
    const auto header = raw_capture::header();
    if (write(fd, header.data(), header.size()) != static_cast<ssize_t>(header.size())) {
      return cannot("write", name);
    }
    return {};
  }
  std::array<std::byte, raw_capture::kHeader> found{};
  const ssize_t got = pread(fd, found.data(), found.size(), 0);
  if (got < 0) return cannot("read", name);
  if (raw_capture::is_header({found.data(), static_cast<size_t>(got)})) return {};
  return fail(
      ErrorCode::kCannotCreate,
      fmt::format("capture: {} begins with {}, expected no file, an empty one, or a capture of IP "
                  "packets with nanoseconds, as this step makes them, to go on with",
                  name, first_bytes({found.data(), static_cast<size_t>(got)})));
}

}  // namespace

Result<CaptureFiles> CaptureFiles::open(const std::vector<std::string>& names) {
  CaptureFiles out;
  for (const std::string& name : names) {
    // Without O_NONBLOCK a pipe that nobody reads would be waited for.
    const int fd =
        ::open(name.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (fd < 0) return cannot("open", name);
    out.fds_.push_back(fd);
    out.names_.push_back(name);
    if (auto begun = begin_or_go_on(fd, name); !begun) return std::unexpected(begun.error());
  }
  return out;
}

Result<void> CaptureFiles::append(uint32_t file, std::span<const std::byte> records) {
  while (!records.empty()) {
    const ssize_t written = write(fds_[file], records.data(), records.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return fail(ErrorCode::kIo,
                  fmt::format("capture: cannot write {}: {}", names_[file], std::strerror(errno)));
    }
    records = records.subspan(static_cast<size_t>(written));
  }
  return {};
}

CaptureFiles::~CaptureFiles() {
  for (const int fd : fds_) close(fd);
}

}  // namespace fettle
