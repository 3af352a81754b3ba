#include "workers/control_socket.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "workers/control_peer.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;

constexpr int kBacklog = 64;
constexpr mode_t kMode = 0660;

std::unexpected<Error> failed(ErrorCode code, const std::string& path, std::string_view what) {
  return fail(code, fmt::format("control socket {}: {}: {}", path, what, std::strerror(errno)));
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kUsage,
                fmt::format("control socket: found a path of {} bytes, \"{}\", expected 1 to {}",
                            path.size(), path, sizeof address.sun_path - 1));
  }
  path.copy(address.sun_path, path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

// Two that start at the same time look and replace one after the other.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory)
      : fd_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // Somebody who never lets go of it does not keep fettle from starting.
    for (int tries = 0; fd_ >= 0 && flock(fd_, LOCK_EX | LOCK_NB) != 0 && tries < 50; ++tries) {
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  int fd_;
};

// Nothing: the name is free, or a socket that nobody listens at.
Result<void> check_place(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return failed(ErrorCode::kCannotCreate, path, "cannot look at it");
  }
  if (!S_ISSOCK(found.st_mode)) {
    return fail(ErrorCode::kCannotCreate,
                fmt::format("control socket {}: found something else there, expected nothing or a "
                            "socket; give another --control",
                            path));
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(ErrorCode::kOs, path, "cannot make a socket");
  const auto address = address_of(path);
  const bool connected = connect(fd, generic(*address), sizeof *address) == 0;
  const int error = connected ? 0 : errno;
  const auto owner = peer_of(fd);
  close(fd);
  if (error == ECONNREFUSED || error == ENOENT) return {};
  if (connected || error == EAGAIN) {
    const std::string who = connected && owner && owner->pid > 0
                                ? fmt::format("process {}", owner->pid)
                                : std::string("a process not visible here");
    return fail(ErrorCode::kUnavailable,
                fmt::format("control socket {} is taken: {} listens there", path, who));
  }
  errno = error;
  return failed(ErrorCode::kCannotCreate, path, "found a socket that cannot be asked");
}

// The group of user "fettle", or -1, which chown(2) takes for the one that is there.
gid_t wanted_group() {
  const passwd* user = getpwnam("fettle");
  return user != nullptr ? user->pw_gid : static_cast<gid_t>(-1);
}

// False: it cannot be done, and not for want of the right to. Without that, the socket stays its
// owner's alone.
bool give_to_group(const std::string& path) {
  if (lchown(path.c_str(), static_cast<uid_t>(-1), wanted_group()) == 0) return true;
  if (errno != EPERM) return false;
  spdlog::warn(
      "control socket: found no right to give it to group fettle (CAP_CHOWN), so that only this "
      "process's user and root may use it");
  return true;
}

// Listens under a name that nobody looks for, which then becomes `path`.
Result<void> listen_at(int fd, const std::string& path, struct stat* made) {
  const std::string temporary = fmt::format("{}.{}", path, getpid());
  const auto address = address_of(temporary);
  if (!address) return std::unexpected(address.error());
  unlink(temporary.c_str());
  const mode_t mask = umask(0777);
  const bool bound = bind(fd, generic(*address), sizeof *address) == 0;
  umask(mask);
  if (!bound) return failed(ErrorCode::kCannotCreate, path, "cannot make it");
  const bool done = give_to_group(temporary) && chmod(temporary.c_str(), kMode) == 0 &&
                    lstat(temporary.c_str(), made) == 0 && listen(fd, kBacklog) == 0 &&
                    rename(temporary.c_str(), path.c_str()) == 0;
  if (done) return {};
  const auto error = failed(ErrorCode::kCannotCreate, path, "cannot set it up");
  unlink(temporary.c_str());
  return error;
}

}  // namespace

Result<ControlSocket> ControlSocket::create(const std::string& path, bool succeed) {
  if (const auto address = address_of(path); !address) return std::unexpected(address.error());
  const std::string parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent;
  if (mkdir(directory.c_str(), 0755) == 0) {
    (void)chmod(directory.c_str(), 0755);  // whatever the umask is
  } else if (errno != EEXIST) {
    return failed(ErrorCode::kCannotCreate, path, fmt::format("cannot make {}", directory));
  }
  const DirectoryLock lock(directory);
  auto checked = check_place(path);
  if (!checked && !(succeed && checked.error().code == ErrorCode::kUnavailable)) {
    return std::unexpected(checked.error());
  }
  ControlSocket out;
  out.fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out.fd_ < 0) return failed(ErrorCode::kOs, path, "cannot make a socket");
  struct stat made {};
  if (auto listens = listen_at(out.fd_, path, &made); !listens) {
    return std::unexpected(listens.error());
  }
  out.path_ = path;
  out.group_ = made.st_gid;
  out.device_ = made.st_dev;
  out.inode_ = made.st_ino;
  return out;
}

ControlSocket::~ControlSocket() {
  if (fd_ < 0) return;
  struct stat found {};
  if (!path_.empty() && lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(path_.c_str());
  }
  close(fd_);
}

void ControlSocket::forget() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void ControlSocket::swap(ControlSocket& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(group_, other.group_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  path_.swap(other.path_);
}

Result<int> connect_control(const std::string& path, milliseconds wait) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(ErrorCode::kOs, path, "cannot make a socket");
  // connect(2) takes the time that sending may take (net/unix/af_unix.c: unix_stream_connect).
  const timeval longest{.tv_sec = wait.count() / 1000, .tv_usec = wait.count() % 1000 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
  if (connect(fd, generic(*address), sizeof *address) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EACCES || error == EPERM) {
    return fail(ErrorCode::kNoPermission,
                fmt::format("{}: {}; expected root or a member of the socket's group", path,
                            std::strerror(error)));
  }
  if (error == EAGAIN) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("{}: fettle did not take the connection within {} ms; does it stand "
                            "still, or do others keep it busy?",
                            path, wait.count()));
  }
  return fail(ErrorCode::kUnavailable,
              fmt::format("no fettle listens at {} ({}); start one with fettle run, or give the "
                          "path that its --control has",
                          path, std::strerror(error)));
}

}  // namespace fettle
