// HTTP clients that want one page: accepted, read and answered in the poll loop of whoever owns the
// listening socket. Nothing blocks. A client that is slow, silent or mad costs a place among the
// clients until its deadline, or until its place is wanted: where all are taken, who has been at it
// for longest without having asked gives way, and then who takes its answer slowest.
//
//   reading ──► waiting (for the page) ──► answering ──► closed
//
// The page is asked for once for all who wait, and serves those who come shortly after, too.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fettle {

class HttpServer {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    size_t clients = 256;                     // at a time; more wait in the kernel to be accepted
    std::chrono::milliseconds request{2000};  // from the connection to the end of the request
    std::chrono::milliseconds page{5000};     // then 503
    std::chrono::milliseconds answer{5000};   // from its first byte to its last
    std::chrono::milliseconds fresh{100};     // how long a page serves
  };

  // `ask`: a page is wanted, take() is to be called, later on; once, until it was.
  HttpServer(int listening, Limits limits, std::function<void()> ask);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  void add_polls(std::vector<pollfd>& out) const;
  std::optional<Clock::time_point> deadline() const;
  // After poll(2), with those that add_polls() added.
  void serve(std::span<const pollfd> polled);
  // The page; empty: there is none, and who waits is told so.
  void take(std::string page);

  size_t clients() const { return clients_.size(); }

 private:
  enum class State : uint8_t { kReading, kWaiting, kAnswering, kClosed };
  struct Client {
    int fd = -1;
    State state = State::kReading;
    bool head = false;
    Clock::time_point since{};  // of the state
    std::string text;           // the request so far
    std::shared_ptr<const std::string> answer{};
    size_t sent = 0;
  };

  Clock::time_point deadline_of(const Client& client) const;
  void accept_clients(Clock::time_point now);
  bool make_room();
  void attend(Client& client, short events, Clock::time_point now);
  void read_request(Client& client, Clock::time_point now);
  void start_answer(Client& client, std::shared_ptr<const std::string> answer,
                    Clock::time_point now);
  void refuse(Client& client, int status, Clock::time_point now);
  void send_rest(Client& client);
  void end_overdue(Clock::time_point now);
  static void close_client(Client& client);
  void sweep();

  int listening_;
  Limits limits_;
  std::function<void()> ask_;
  bool asked_ = false;
  std::vector<Client> clients_;
  std::shared_ptr<const std::string> page_, bare_page_;  // answers to GET and HEAD
  Clock::time_point page_at_{};
  Clock::time_point accept_again_{};  // no descriptor was left
};

}  // namespace fettle
