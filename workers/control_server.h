// The control socket's clients: takes their requests and their answers away from them, in the poll
// loop of whoever owns it. Nothing here blocks: a client that is slow, silent or mad costs a place
// among the clients until its deadline, a request's worth of memory, and nothing else.
//
// A client sends one line (control_request.h) and gets one answer, a JSON object, until the end of
// the stream. Its member "exit" is 0, or an exit status of sysexits(3) with a "message".
//
//   reading ──► waiting ──► answering ──► closed
//      │  (the owner has it)     ▲
//      └── refused, malformed ───┘
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/control_peer.h"
#include "workers/control_request.h"
#include "workers/control_socket.h"

namespace fettle {

// {"exit":65,"message":"..."}
std::string control_error(const Error& error);

class ControlServer {
 public:
  using Clock = std::chrono::steady_clock;
  using ClientId = uint64_t;
  struct Limits {
    size_t clients = 16;  // at a time; more wait in the kernel to be accepted
    // The first from the connection to the end of the line, the second from an answer's first byte
    // to its last; a quarter of it where all places are taken.
    std::chrono::milliseconds request{1000};
    std::chrono::milliseconds answer{5000};
  };
  struct Counts {
    uint64_t requests = 0;
    uint64_t malformed = 0;
    uint64_t refused = 0;  // by may_control()
    uint64_t cut_off = 0;  // at a deadline
  };
  // A request has come: answer() is to be called for the client, at once or some time later.
  using Handler = std::function<void(ClientId, ControlCommand, const Peer&)>;

  ControlServer(ControlSocket socket, Limits limits, Handler handler);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();

  // What poll(2) has to wait for, and until when.
  void add_polls(std::vector<pollfd>& out) const;
  std::optional<Clock::time_point> deadline() const;
  // After poll(2), with those that add_polls() added.
  void serve(std::span<const pollfd> polled);

  // No such client any more: nothing happens.
  void answer(ClientId client, std::string text);
  // The client's connection, for the caller to go on with and to close; -1 where it is gone.
  int give_away(ClientId client);
  // The last words, to those who wait for the end, and what else can be sent until then. These
  // connections close with the server: their clients see the end of the stream when all else ended.
  void finish(std::span<const ClientId> clients, const std::string& text, Clock::time_point until);
  // In a child process: closes everything, and answers nobody.
  void forget();

  const Counts& counts() const { return counts_; }
  const std::string& path() const { return socket_.path(); }
  gid_t group() const { return socket_.group(); }

 private:
  enum class State : uint8_t { kReading, kWaiting, kAnswering, kAnswered, kClosed };
  struct Client {
    ClientId id = 0;
    int fd = -1;
    State state = State::kReading;
    Peer peer;
    Clock::time_point since{};  // of the state
    std::string text;           // the request so far, then the answer
    size_t sent = 0;
  };

  std::optional<Clock::time_point> deadline_of(const Client& client) const;
  void accept_clients();
  void admit(int fd);
  void attend(size_t place, short events);
  void read_request(size_t place);
  void take_line(size_t place, std::string_view line);
  void refuse(Client& client, const Error& error);
  void start_answer(Client& client, std::string text);
  void send_rest(Client& client);
  void close_client(Client& client);
  void sweep();

  ControlSocket socket_;
  Limits limits_;
  Handler handler_;
  std::vector<Client> clients_;
  ClientId last_id_ = 0;
  Clock::time_point accept_again_{};  // no descriptor was left
  bool finishing_ = false;
  Counts counts_;
};

}  // namespace fettle
