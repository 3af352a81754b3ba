// What clients of the control socket ask of the supervisor, and what they are answered.
#include <unistd.h>

#include <ctime>
#include <utility>

#include <spdlog/spdlog.h>

#include "workers/json.h"
#include "workers/supervisor.h"

namespace fettle {
namespace {

constexpr auto kLastWords = std::chrono::seconds(1);

std::string done(std::string_view message) {
  return JsonObject().add("exit", EX_OK).add("message", message).text();
}

std::string plural(size_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

}  // namespace

// Without --control a place that cannot be had costs the control socket, and not the packets.
Result<void> Supervisor::open_control() {
  auto socket = ControlSocket::create(control_path(), options_.takeover);
  if (!socket) {
    if (options_.control && !options_.takeover) return std::unexpected(socket.error());
    spdlog::warn("{}; running without: no fettle status, reload or drain (--control PATH)",
                 socket.error().message);
    return {};
  }
  control_ = std::make_unique<ControlServer>(
      std::move(*socket), ControlServer::Limits(),
      [this](ControlServer::ClientId client, ControlCommand command, const Peer& peer) {
        on_request(client, command, peer);
      });
  return {};
}

std::string Supervisor::control_path() const {
  return options_.control.value_or(std::string(kControlPath));
}

// Descriptors that give verdicts are for nobody who could not have them otherwise.
void Supervisor::answer_takeover(ControlServer::ClientId client, const Peer& peer) {
  if (phase_ != Phase::kRunning || (peer.uid != 0 && peer.uid != getuid())) {
    return control_->answer(
        client, control_error(phase_ != Phase::kRunning
                                  ? Error{ErrorCode::kUnavailable,
                                          "fettle is starting, reloading or stopping; try again"}
                                  : Error{ErrorCode::kNoPermission,
                                          "only root and fettle's own user may take queues over"}));
  }
  spdlog::info("takeover asked for by process {}, user {}", peer.pid, peer.uid);
  const Descriptor connection(control_->give_away(client));
  if (auto sent = hand_over(connection.get()); !sent) spdlog::error("{}", sent.error().message);
}

void Supervisor::on_request(ControlServer::ClientId client, ControlCommand command,
                            const Peer& peer) {
  switch (command) {
    case ControlCommand::kStatus:
      status_clients_.push_back(client);
      if (phase_ != Phase::kRunning || feed_.is_fresh(Clock::now())) return answer_statuses();
      return feed_.ask(own_rows());
    case ControlCommand::kReload:
      if (phase_ == Phase::kStopping) {
        control_->answer(client, control_error({ErrorCode::kUnavailable, "fettle is stopping"}));
        return;
      }
      spdlog::info("reload asked for by process {}, user {}", peer.pid, peer.uid);
      next_reload_clients_.push_back(client);
      ask_for_reload();
      return;
    case ControlCommand::kTakeover:
      return answer_takeover(client, peer);
    case ControlCommand::kDrain:
      drain_clients_.push_back(client);
      if (phase_ == Phase::kStopping) return;
      spdlog::info("stopping: drain asked for by process {}, user {}", peer.pid, peer.uid);
      start_stop();
      return;
  }
}

// As SIGHUP does: while workers start or a reload is under way, once that is done.
void Supervisor::ask_for_reload() {
  if (phase_ == Phase::kRunning) {
    start_reload();
  } else {
    reload_again_ = phase_ != Phase::kStopping;
  }
}

void Supervisor::refuse_reload(const Error& error) {
  spdlog::error("reload refused, the rules in force stay:\n{}", error.message);
  last_reload_ = {
      .at = time(nullptr), .exit = static_cast<int>(error.code), .message = error.message};
  answer_reload(control_error(
      {error.code, fmt::format("reload refused, the rules in force stay:\n{}", error.message)}));
}

void Supervisor::adopt_reload() {
  loaded_at_ = time(nullptr);
  last_reload_ = {.at = loaded_at_, .exit = EX_OK, .message = load_warnings_};
  const std::string message = fmt::format(
      "reloaded: {} from {}", plural(program_->rule_names().size(), "rule"), options_.rules);
  spdlog::info("{}", message);
  answer_reload(done(load_warnings_.empty() ? message : load_warnings_ + "\n" + message));
}

void Supervisor::answer_reload(const std::string& answer) {
  for (const auto client : std::exchange(reload_clients_, {})) control_->answer(client, answer);
}

void Supervisor::cancel_reloads() {
  for (auto* clients : {&reload_clients_, &next_reload_clients_}) {
    for (const auto client : std::exchange(*clients, {})) {
      control_->answer(client, control_error({ErrorCode::kUnavailable,
                                              "fettle is stopping, and the rules were not read, or "
                                              "not adopted by all workers"}));
    }
  }
}

void Supervisor::answer_drains() {
  if (!control_) return;
  uint64_t left = 0;
  for (const Queue& queue : queues_) left += queue.left;
  const std::string message =
      left == 0
          ? "drained: the queues ran empty"
          : fmt::format("drained: {} were left in the queues and are {}", plural(left, "packet"),
                        accepts_orphans() ? "accepted unchanged" : "dropped");
  const std::string answer = JsonObject()
                                 .add("exit", EX_OK)
                                 .add("message", message)
                                 .add_json("status", status_json(status()))
                                 .text();
  control_->finish(drain_clients_, answer, Clock::now() + kLastWords);
}

}  // namespace fettle
