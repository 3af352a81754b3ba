// The control socket's name: its mode, what it replaces and what it leaves alone.
#include "workers/control_socket.h"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace fettle {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() {
    std::string name = fs::temp_directory_path() / "fettle-control.XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ / "run" / "control";
  }
  ~ControlSocketTest() override { fs::remove_all(folder_); }

  static mode_t mode(const fs::path& path) {
    struct stat found {};
    return lstat(path.c_str(), &found) == 0 ? found.st_mode & 07777 : 0;
  }
  ControlSocket made() {
    auto socket = ControlSocket::create(path_);
    EXPECT_TRUE(socket) << socket.error().message;
    return std::move(*socket);
  }
  void expect_refused(ErrorCode code, std::string_view part) {
    const auto socket = ControlSocket::create(path_);
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().code, code);
    EXPECT_NE(socket.error().message.find(part), std::string::npos) << socket.error().message;
  }
  // As a process leaves it that was killed.
  void leave_stale() {
    fs::create_directory(path_.parent_path());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, static_cast<sockaddr*>(static_cast<void*>(&address)), sizeof address), 0);
    listen(fd, 1);
    close(fd);
    ASSERT_TRUE(fs::is_socket(path_));
  }

  fs::path folder_, path_;
};

TEST_F(ControlSocketTest, ModesAndGroup) {
  const mode_t mask = umask(0077);
  const ControlSocket socket = made();
  umask(mask);
  EXPECT_EQ(mode(path_), 0660);
  EXPECT_EQ(mode(path_.parent_path()), 0755);
  struct stat found {};
  ASSERT_EQ(lstat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_gid, socket.group());
  const passwd* user = getpwnam("fettle");
  EXPECT_EQ(found.st_gid, user != nullptr ? user->pw_gid : getegid());
  EXPECT_EQ(std::distance(fs::directory_iterator(path_.parent_path()), {}), 1);
}

TEST_F(ControlSocketTest, IsRemovedAtTheEnd) {
  { const ControlSocket socket = made(); }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(ControlSocketTest, IsLeftWhereItIsAnothersByNow) {
  {
    const ControlSocket socket = made();
    fs::remove(path_);
    std::ofstream(path_) << "another's";
  }
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(ControlSocketTest, IsLeftByAChildThatForgetsIt) {
  {
    ControlSocket socket = made();
    socket.forget();
    EXPECT_EQ(socket.fd(), -1);
  }
  EXPECT_TRUE(fs::is_socket(path_));
}

TEST_F(ControlSocketTest, AStaleOneIsReplaced) {
  leave_stale();
  const ControlSocket socket = made();
  const auto fd = connect_control(path_, milliseconds(1000));
  ASSERT_TRUE(fd) << fd.error().message;
  close(*fd);
}

TEST_F(ControlSocketTest, ALiveOneIsNot) {
  const ControlSocket socket = made();
  expect_refused(ErrorCode::kUnavailable, fmt::format("process {}", getpid()));
  const auto fd = connect_control(path_, milliseconds(1000));
  ASSERT_TRUE(fd) << fd.error().message;
  close(*fd);
}

TEST_F(ControlSocketTest, ALiveOneWhoseBacklogIsFullIsNot) {
  const ControlSocket socket = made();
  std::vector<int> waiting;
  for (;;) {
    const auto fd = connect_control(path_, milliseconds(1));
    if (!fd) {
      EXPECT_EQ(fd.error().code, ErrorCode::kUnavailable);
      EXPECT_NE(fd.error().message.find("did not take the connection within 1 ms"),
                std::string::npos)
          << fd.error().message;
      break;
    }
    waiting.push_back(*fd);
    ASSERT_LT(waiting.size(), 1000u);
  }
  expect_refused(ErrorCode::kUnavailable, "is taken");
  for (const int fd : waiting) close(fd);
}

TEST_F(ControlSocketTest, AnythingElseIsLeftAlone) {
  fs::create_directory(path_.parent_path());
  std::ofstream(path_) << "mine";
  expect_refused(ErrorCode::kCannotCreate, "expected nothing or a socket");
  EXPECT_EQ(fs::file_size(path_), 4u);
}

TEST_F(ControlSocketTest, ADirectoryThatCannotBeMadeIsNamed) {
  path_ = folder_ / "a" / "b" / "control";
  expect_refused(ErrorCode::kCannotCreate, (folder_ / "a" / "b").string());
}

TEST_F(ControlSocketTest, ANameThatIsTooLongIsQuoted) {
  path_ = folder_ / std::string(120, 'x');
  expect_refused(ErrorCode::kUsage, "expected 1 to 107");
  path_ = "";
  expect_refused(ErrorCode::kUsage, "found a path of 0 bytes");
}

TEST_F(ControlSocketTest, NobodyThereIsSaidSo) {
  const auto fd = connect_control(path_, milliseconds(1000));
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(
      fd.error().message,
      fmt::format("no fettle listens at {} (No such file or directory); start one with fettle "
                  "run, or give the path that its --control has",
                  path_.string()));
}

}  // namespace
}  // namespace fettle
