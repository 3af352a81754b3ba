// The control socket's clients, good ones and others, with the owner's poll loop run by hand.
#include "workers/control_server.h"

#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fettle {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using Clock = ControlServer::Clock;

constexpr ControlServer::Limits kQuick{
    .clients = 4, .request = milliseconds(200), .answer = milliseconds(200)};
constexpr milliseconds kLong{5000};

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() {
    std::string name = fs::temp_directory_path() / "fettle-control.XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ / "control";
  }
  ~ControlServerTest() override {
    for (const int fd : fds_) close(fd);
    fs::remove_all(folder_);
  }

  void start(ControlServer::Limits limits = kQuick) {
    auto socket = ControlSocket::create(path_);
    ASSERT_TRUE(socket) << socket.error().message;
    server_.emplace(std::move(*socket), limits,
                    [this](ControlServer::ClientId client, ControlCommand command, const Peer&) {
                      if (command == ControlCommand::kStatus) {
                        server_->answer(client, status_);
                      } else {
                        waiting_.push_back(client);
                      }
                    });
  }
  int client(std::string_view request = "") {
    const auto fd = connect_control(path_, kLong);
    EXPECT_TRUE(fd) << fd.error().message;
    fds_.push_back(*fd);
    say(*fd, request);
    return *fd;
  }
  static void say(int fd, std::string_view text) {
    if (!text.empty()) {
      EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), std::ssize(text));
    }
  }
  void turn(milliseconds wait = milliseconds(20)) {
    std::vector<pollfd> fds;
    server_->add_polls(fds);
    poll(fds.data(), fds.size(), static_cast<int>(wait.count()));
    server_->serve(fds);
  }
  // What the client gets until the end of the stream; turns the server meanwhile.
  std::string answer_to(int fd, milliseconds within = kLong) {
    std::string out;
    const auto end = Clock::now() + within;
    while (Clock::now() < end) {
      turn();
      char buffer[65536];
      const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) out.append(buffer, static_cast<size_t>(got));
      if (got == 0 || (got < 0 && errno == ECONNRESET)) return out;
    }
    return out + "[no end]";
  }
  size_t open_clients() {
    std::vector<pollfd> fds;
    server_->add_polls(fds);
    return fds.size() - 1;
  }

  fs::path folder_, path_;
  std::optional<ControlServer> server_;
  std::string status_ = "{}";
  std::vector<ControlServer::ClientId> waiting_;
  std::vector<int> fds_;
};

TEST_F(ControlServerTest, AnswersAtOnceOrLater) {
  start();
  EXPECT_EQ(answer_to(client("status\n")), "{}\n");
  const int late = client("reload\n");
  while (waiting_.empty()) turn();
  EXPECT_EQ(answer_to(client("status\n")), "{}\n");
  EXPECT_EQ(server_->deadline(), std::nullopt);  // who waits for the owner has time
  server_->answer(waiting_[0], "{\"exit\":0}");
  server_->answer(waiting_[0], "once is enough");
  server_->answer(12345, "nobody");
  EXPECT_EQ(answer_to(late), "{\"exit\":0}\n");
  EXPECT_EQ(server_->counts().requests, 3u);
}

TEST_F(ControlServerTest, ALineMayComeInPiecesAndWithoutItsEnd) {
  start();
  const int fd = client("sta");
  turn();
  turn();
  say(fd, "tus\n");
  EXPECT_EQ(answer_to(fd), "{}\n");
  const int closed = client("status");
  shutdown(closed, SHUT_WR);
  EXPECT_EQ(answer_to(closed), "{}\n");
}

TEST_F(ControlServerTest, MalformedLinesAreQuoted) {
  start();
  EXPECT_EQ(
      answer_to(client("stats\n")),
      "{\"exit\":64,\"message\":\"request: found \\\"stats\\\", expected one of status, reload, "
      "drain, takeover; did you mean \\\"status\\\"?\"}\n");
  const std::string answer = answer_to(client(std::string(100'000, 'x')));
  EXPECT_NE(answer.find("found a line of more than 256 bytes"), std::string::npos) << answer;
  EXPECT_EQ(server_->counts().malformed, 2u);
  EXPECT_EQ(open_clients(), 0u);
}

TEST_F(ControlServerTest, ALineOfTheLongestIsRead) {
  start();
  const std::string line(kLongestRequest - 6, ' ');
  EXPECT_EQ(answer_to(client(line + "status\n")), "{}\n");
  EXPECT_NE(answer_to(client(line + " status\n")).find("more than 256"), std::string::npos);
}

TEST_F(ControlServerTest, SilentClientsAreCutOff) {
  start();
  const int silent = client();
  const int slow = client("stat");
  EXPECT_EQ(answer_to(silent), "");
  EXPECT_EQ(answer_to(slow), "");
  EXPECT_EQ(server_->counts().cut_off, 2u);
  EXPECT_EQ(open_clients(), 0u);
}

TEST_F(ControlServerTest, ClientsThatDoNotReadAreCutOff) {
  start();
  status_ = std::string(8 << 20, 'x');  // more than the kernel takes in advance
  const int fd = client("status\n");
  for (const auto end = Clock::now() + kLong;
       Clock::now() < end && server_->counts().cut_off == 0;) {
    turn();
  }
  EXPECT_EQ(server_->counts().cut_off, 1u);
  EXPECT_LT(answer_to(fd).size(), status_.size());
}

TEST_F(ControlServerTest, AnAnswerOfAnySizeIsReadWhole) {
  start({.clients = 4, .request = kLong, .answer = kLong});
  status_ = std::string(8 << 20, 'x');
  EXPECT_EQ(answer_to(client("status\n")), status_ + "\n");
}

TEST_F(ControlServerTest, MoreClientsThanPlacesWait) {
  start({.clients = 4, .request = kLong * 4, .answer = kLong});
  std::vector<int> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(client());
  const int patient = client("status\n");
  for (int i = 0; i < 3; ++i) turn();
  EXPECT_EQ(open_clients(), 4u);
  char byte = 0;
  EXPECT_LT(recv(patient, &byte, 1, MSG_DONTWAIT), 0);
  say(silent[0], "status\n");
  EXPECT_EQ(answer_to(silent[0]), "{}\n");
  EXPECT_EQ(answer_to(patient), "{}\n");
}

TEST_F(ControlServerTest, WhereAllPlacesAreTakenTimeIsShorter) {
  start({.clients = 2, .request = milliseconds(800), .answer = kLong});
  client();
  turn();
  const auto alone = server_->deadline();
  client();
  turn();
  const auto crowded = server_->deadline();
  ASSERT_TRUE(alone && crowded);
  EXPECT_EQ(*alone - *crowded, milliseconds(600));
  EXPECT_EQ(answer_to(client("status\n")), "{}\n");
}

TEST_F(ControlServerTest, ClientsThatGoAreForgotten) {
  start();
  client("reload\n");
  while (waiting_.empty()) turn();
  close(fds_.back());
  fds_.pop_back();
  for (int i = 0; i < 100 && open_clients() > 0; ++i) turn();
  EXPECT_EQ(open_clients(), 0u);
  server_->answer(waiting_[0], "{}");
  turn();
}

// The mode would keep them off; the server does where somebody has loosened it.
TEST_F(ControlServerTest, WhoMayNotIsTold) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  start();
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const auto fd = connect_control(path_, kLong);
    char buffer[512];
    const ssize_t got = fd ? recv(*fd, buffer, sizeof buffer, 0) : 0;
    const std::string_view answer(buffer, static_cast<size_t>(std::max<ssize_t>(got, 0)));
    _exit(answer.starts_with("{\"exit\":77,\"message\":\"control socket: found user 65534") ? 0
                                                                                            : 1);
  }
  int status = -1;
  for (const auto end = Clock::now() + kLong; Clock::now() < end;) {
    turn();
    if (waitpid(child, &status, WNOHANG) == child) break;
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(server_->counts().refused, 1u);
  EXPECT_EQ(server_->counts().requests, 0u);
}

TEST_F(ControlServerTest, AConnectionCanBeGivenAway) {
  start();
  const int fd = client("reload\n");
  while (waiting_.empty()) turn();
  const int given = server_->give_away(waiting_[0]);
  ASSERT_GE(given, 0);
  EXPECT_EQ(server_->give_away(waiting_[0]), -1);
  turn();
  EXPECT_EQ(open_clients(), 0u);
  say(given, "by another");
  close(given);
  char buffer[32];
  EXPECT_EQ(recv(fd, buffer, sizeof buffer, 0), 10);
}

TEST_F(ControlServerTest, LastWordsStayOpenUntilTheEnd) {
  start();
  const int fd = client("drain\n");
  while (waiting_.empty()) turn();
  server_->finish(waiting_, "{}", Clock::now() + kLong);
  char buffer[32];
  EXPECT_EQ(recv(fd, buffer, sizeof buffer, 0), 3);
  server_.reset();
  EXPECT_EQ(recv(fd, buffer, sizeof buffer, 0), 0);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(ControlServerTest, AChildThatForgetsLeavesTheClientsToTheParent) {
  start();
  const int fd = client("reload\n");
  while (waiting_.empty()) turn();
  const pid_t child = fork();
  if (child == 0) {
    server_->forget();
    pause();
    _exit(0);
  }
  server_->answer(waiting_[0], "{}");
  EXPECT_EQ(answer_to(fd), "{}\n");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace fettle
