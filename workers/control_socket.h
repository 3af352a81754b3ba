// The place of the control socket in the file system: made, found, removed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include "core/result.h"

namespace fettle {

inline constexpr std::string_view kControlPath = "/run/fettle/control";

class ControlSocket {
 public:
  // Listens at `path`, with mode 0660 and, where there is a user "fettle", its group; both are
  // there before the name is. Makes the directory (0755) where it is missing. A socket where nobody
  // listens any more is replaced; kUnavailable names the process where somebody does, unless that
  // is to be succeeded: it keeps its clients and gets no new ones. Anything else that lies there is
  // left alone and an error.
  static Result<ControlSocket> create(const std::string& path, bool succeed = false);
  ControlSocket() = default;  // closed
  ControlSocket(ControlSocket&& other) noexcept { swap(other); }
  ControlSocket& operator=(ControlSocket&& other) noexcept {
    swap(other);
    return *this;
  }
  // Removes the name if it is still this socket's.
  ~ControlSocket();

  int fd() const { return fd_; }
  gid_t group() const { return group_; }
  const std::string& path() const { return path_; }
  // In a child process: closes it and leaves the name to the parent.
  void forget();

 private:
  void swap(ControlSocket& other) noexcept;

  int fd_ = -1;
  gid_t group_ = 0;
  dev_t device_ = 0;  // with inode_, of the name
  ino_t inode_ = 0;
  std::string path_;
};

// Connects to the socket at `path`; waits for at most so long, or not at all. Errors: kUsage (a
// name that is too long), kUnavailable (nobody is there, or does not take the connection),
// kNoPermission.
Result<int> connect_control(const std::string& path, std::chrono::milliseconds wait);

}  // namespace fettle
