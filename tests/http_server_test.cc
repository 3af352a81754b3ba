// HTTP clients, good ones and others, with the owner's poll loop run by hand.
#include "workers/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "workers/http_request.h"
#include "workers/metrics_address.h"

namespace fettle {
namespace {

using std::chrono::milliseconds;
using Clock = HttpServer::Clock;

TEST(HttpRequest, WhatIsAnswered) {
  for (const std::string_view request :
       {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "GET /metrics HTTP/1.0\r\n\r\n",
        "\r\nGET /metrics?name[]=x HTTP/1.1\nHost: a\n\n", "GET /metrics HTTP/1.1\r\n\r\nmore",
        "GET http://a:1/metrics HTTP/1.1\r\n\r\n", "HEAD /metrics HTTP/1.1\r\n\r\n"}) {
    EXPECT_EQ(judge_http_request(request).status, 200) << request;
    EXPECT_EQ(judge_http_request(request).head, request.starts_with("HEAD")) << request;
  }
}

TEST(HttpRequest, WhatIsRefused) {
  const std::string endless(kLongestHttpHead, 'x');
  for (const auto& [request, status] : std::initializer_list<std::pair<std::string, int>>{
           {"", 0},
           {"GET /metrics HTTP/1.1\r\nHost: a\r\n", 0},
           {"GET / HTTP/1.1\r\n\r\n", 404},
           {"GET /metrics/../x HTTP/1.1\r\n\r\n", 404},
           {"GET http://a HTTP/1.1\r\n\r\n", 404},
           {"POST /metrics HTTP/1.1\r\n\r\n", 405},
           {"PRI * HTTP/2.0\r\n\r\n", 505},
           {"GET /metrics\r\n\r\n", 400},
           {"GET  /metrics HTTP/1.1\r\n\r\n", 400},
           {"g\x01t /metrics HTTP/1.1\r\n\r\n", 400},
           {"GET /metrics FTP/1.1\r\n\r\n", 400},
           {"\r\n\r\n\r\n", 0},
           {endless, 0},
           {endless + "y", 431},
           {std::string(kLongestHttpHead + 1, '\n'), 431},
           {"GET /metrics HTTP/1.1\r\nA: " + endless + "\r\n\r\n", 431}}) {
    EXPECT_EQ(judge_http_request(request).status, status) << request.substr(0, 60);
  }
}

TEST(HttpRequest, Answers) {
  EXPECT_EQ(http_answer(200, "a 1\n", false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            "Content-Length: 4\r\nConnection: close\r\n\r\na 1\n");
  EXPECT_TRUE(
      http_answer(200, "a 1\n", true).ends_with("Content-Length: 4\r\nConnection: close\r\n\r\n"));
  EXPECT_NE(http_answer(405, {}, false).find("\r\nAllow: GET, HEAD\r\n"), std::string::npos);
  EXPECT_TRUE(http_answer(404, {}, false).ends_with("404 Not Found; expected GET /metrics\n"));
}

constexpr std::string_view kGet = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr HttpServer::Limits kQuick{.clients = 4,
                                    .request = milliseconds(200),
                                    .page = milliseconds(200),
                                    .answer = milliseconds(300),
                                    .fresh = milliseconds(50)};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    Result<Descriptor> made;
    do {
      made = listen_at({.address = *Address::parse("127.0.0.1"), .port = ++port_});
    } while (!made && port_ < 40'000);
    listening_ = std::move(*made);
    server_.emplace(listening_.get(), kQuick, [this] { ++asked_; });
  }
  ~HttpServerTest() override {
    for (const int fd : fds_) close(fd);
  }

  int client(std::string_view request = "") {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds_.push_back(fd);
    const int small = 4096;  // so that a long answer does not fit
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const void* generic = &address;
    EXPECT_EQ(connect(fd, static_cast<const sockaddr*>(generic), sizeof address), 0);
    say(fd, request);
    return fd;
  }
  static void say(int fd, std::string_view text) {
    if (!text.empty()) (void)send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  }
  // A turn of the owner's loop, who has a page at hand where one is given.
  void turn() {
    std::vector<pollfd> fds;
    server_->add_polls(fds);
    poll(fds.data(), fds.size(), 5);
    server_->serve(fds);
    if (gives_ && asked_ > given_) {
      given_ = asked_;
      server_->take(page_);
    }
  }
  void turns(milliseconds time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;) turn();
  }
  // What the client gets until the end of the stream.
  std::string answer_to(int fd) {
    std::string out;
    for (const auto end = Clock::now() + milliseconds(5000); Clock::now() < end;) {
      turn();
      char buffer[65536];
      const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return out;
      if (got > 0) out.append(buffer, static_cast<size_t>(got));
    }
    ADD_FAILURE() << "no end of the stream";
    return out;
  }

  uint16_t port_ = 30'000;
  Descriptor listening_;
  std::optional<HttpServer> server_;
  std::vector<int> fds_;
  std::string page_ = "a 1\n";
  bool gives_ = true;
  int asked_ = 0, given_ = 0;
};

TEST_F(HttpServerTest, APageIsServed) {
  EXPECT_EQ(answer_to(client(kGet)), http_answer(200, page_, false));
  EXPECT_EQ(answer_to(client("HEAD /metrics HTTP/1.1\r\n\r\n")), http_answer(200, page_, true));
  EXPECT_EQ(answer_to(client("GET / HTTP/1.1\r\n\r\n")), http_answer(404, {}, false));
}

TEST_F(HttpServerTest, ARequestMayComeInPieces) {
  const int fd = client();
  for (const char c : kGet) {
    say(fd, {&c, 1});
    turn();
  }
  EXPECT_EQ(answer_to(fd), http_answer(200, page_, false));
}

TEST_F(HttpServerTest, OnePageServesAllWhoWaitAndThoseShortlyAfter) {
  gives_ = false;
  const int one = client(kGet), two = client(kGet);
  turns(milliseconds(30));
  EXPECT_EQ(asked_, 1);
  gives_ = true;
  EXPECT_EQ(answer_to(one), http_answer(200, page_, false));
  EXPECT_EQ(answer_to(two), http_answer(200, page_, false));
  EXPECT_EQ(answer_to(client(kGet)), http_answer(200, page_, false));
  EXPECT_EQ(asked_, 1);
  turns(kQuick.fresh * 2);
  page_ = "a 2\n";
  EXPECT_EQ(answer_to(client(kGet)), http_answer(200, page_, false));
  EXPECT_EQ(asked_, 2);
}

TEST_F(HttpServerTest, WithoutAPageTheyAreTold) {
  page_.clear();
  EXPECT_EQ(answer_to(client(kGet)), http_answer(503, {}, false));
  gives_ = false;
  EXPECT_EQ(answer_to(client(kGet)), http_answer(503, {}, false));
}

TEST_F(HttpServerTest, TheSilentAndTheSlowAreCutOff) {
  EXPECT_EQ(answer_to(client()), "");
  page_ = std::string(32 << 20, 'x');
  const int fd = client(kGet);
  turns(kQuick.answer * 2);
  EXPECT_EQ(server_->clients(), 0u);
  EXPECT_LT(answer_to(fd).size(), page_.size());
}

// However many come and say nothing, who asks is answered.
TEST_F(HttpServerTest, WhoAsksIsNotPushedOut) {
  for (size_t i = 0; i < kQuick.clients + 2; ++i) client();
  EXPECT_EQ(answer_to(client(kGet)), http_answer(200, page_, false));
  EXPECT_LE(server_->clients(), kQuick.clients);
}

TEST_F(HttpServerTest, ThoseWhoWaitAreNotPushedOutEither) {
  gives_ = false;
  std::vector<int> waiting;
  for (size_t i = 0; i < kQuick.clients; ++i) waiting.push_back(client(kGet));
  turns(milliseconds(20));
  for (size_t i = 0; i < kQuick.clients; ++i) client();
  turns(milliseconds(20));
  gives_ = true;
  for (const int fd : waiting) EXPECT_EQ(answer_to(fd), http_answer(200, page_, false));
}

TEST_F(HttpServerTest, WhoLeavesIsForgotten) {
  gives_ = false;
  close(client(kGet));
  fds_.pop_back();
  turns(milliseconds(20));
  gives_ = true;
  turns(milliseconds(20));
  EXPECT_EQ(server_->clients(), 0u);
}

}  // namespace
}  // namespace fettle
