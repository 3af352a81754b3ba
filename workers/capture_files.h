// The files of a program's capture steps, opened for appending: whole records in one write(2) each,
// so that several processes and threads can share them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"

namespace fettle {

class CaptureFiles {
 public:
  // In the order of Needs::captures. A new or empty file gets its header. Refused: what is no
  // regular file, and a file that holds something else than such a capture.
  static Result<CaptureFiles> open(const std::vector<std::string>& names);
  CaptureFiles() = default;  // none
  CaptureFiles(CaptureFiles&& other) noexcept { *this = std::move(other); }
  CaptureFiles& operator=(CaptureFiles&& other) noexcept {
    fds_.swap(other.fds_);
    names_.swap(other.names_);
    return *this;
  }
  ~CaptureFiles();

  std::span<const int> fds() const { return fds_; }
  // Appends whole records to a file; waits where it must.
  Result<void> append(uint32_t file, std::span<const std::byte> records);

 private:
  std::vector<int> fds_;
  std::vector<std::string> names_;
};

}  // namespace fettle
