#include "workers/quarantine.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "core/raw_capture.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

Result<void> check_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kCannotCreate, fmt::format("{}: {}", folder, error.message()));
  size_t files = 0;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    ++files;
  }
  if (error) return fail(ErrorCode::kCannotCreate, fmt::format("{}: {}", folder, error.message()));
  if (files >= kMostQuarantined) {
    return fail(ErrorCode::kCannotCreate,
                fmt::format("{}: {} files are there, which is as many as are kept; move them away",
                            folder, files));
  }
  return {};
}

}  // namespace

Result<std::string> quarantine(const std::string& folder, uint16_t queue, uint32_t id,
                               std::span<const std::byte> bytes) {
  if (auto checked = check_folder(folder); !checked) return std::unexpected(checked.error());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto nanoseconds =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  Packet packet;
  packet.data = copy.data();
  packet.size = packet.length = static_cast<uint32_t>(copy.size());
  auto header = raw_capture::header();
  std::vector<std::byte> record(raw_capture::record_size(packet));
  raw_capture::put_record(record.data(), nanoseconds, packet);

  const std::string path =
      fmt::format("{}/queue{}-{}-{}.pcap", folder, queue, nanoseconds / 1'000'000, id);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  const iovec parts[] = {{header.data(), header.size()}, {record.data(), record.size()}};
  const auto size = static_cast<ssize_t>(header.size() + record.size());
  const bool written = fd >= 0 && writev(fd, parts, 2) == size;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!written) {
    return fail(ErrorCode::kCannotCreate, fmt::format("{}: {}", path, std::strerror(error)));
  }
  return path;
}

}  // namespace fettle
