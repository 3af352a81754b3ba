// How a supervisor takes queues over from another one, and how it gives them up.
//
// Who takes over has the descriptors (estate.h), and a successor to each worker that stands by. It
// writes itself into the page's head, and orders the worker to retire as soon as the successor is
// ready; when it has gone, the successor begins. The former supervisor sees by the head that the
// queue is no longer its own, leaves it alone, and ends when a successor runs on each. Should the
// new one die before that, it takes its queues back.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <spdlog/spdlog.h>

#include "workers/pidfd.h"
#include "workers/queue_owner.h"
#include "workers/supervisor.h"
#include "workers/worker.h"

namespace fettle {
namespace {

constexpr std::chrono::seconds kPatience{5};

bool exists(pid_t process) { return kill(process, 0) == 0 || errno != ESRCH; }

// Memory of another layout, or none, is made anew.
SharedMemory adopt_part(Estate& estate, Part part) {
  if (!estate[part]) return {};
  auto adopted = SharedMemory::adopt(estate[part].release());
  return adopted ? std::move(*adopted) : SharedMemory{};
}

}  // namespace

uint64_t Supervisor::fingerprint(const Program& program) const {
  uint64_t out = options_.threads;
  for (const std::string& name : program.rule_names()) {
    out = out * 0x100000001b3 ^ std::hash<std::string>{}(name);
  }
  return out;
}

Result<void> Supervisor::find_estates() {
  service_ = Service::from_environment();
  estates_ = service_.take_stored();
  const auto is_wanted = [this](const Estate& estate) {
    return estate.queue >= options_.first_queue && estate.queue <= options_.last_queue;
  };
  for (Estate& estate : estates_) {
    if (!is_wanted(estate)) release_left_over(std::move(estate));
  }
  std::erase_if(estates_, [](const Estate& estate) { return !estate[Part::kSocket]; });
  if (options_.takeover) {
    auto estates = ask_for_estates(control_path());
    if (!estates) return std::unexpected(estates.error());
    estates_ = std::move(*estates);
  }
  for (const Estate& estate : estates_) {
    if (is_wanted(estate)) continue;
    return fail(ErrorCode::kUsage,
                fmt::format("--takeover: the running fettle has queue {}, which --queue-balance "
                            "{}:{} leaves out; what is taken over is taken over whole",
                            estate.queue, options_.first_queue, options_.last_queue));
  }
  return {};
}

// A queue of another --queue-balance than this one's. Closing its socket drops what waits there.
void Supervisor::release_left_over(Estate estate) {
  const uint16_t number = estate.queue;
  auto socket = QueueSocket::adopt(estate[Part::kSocket].release(), number);
  service_.forget(number);
  if (!socket) return;
  spdlog::warn("queue {}: kept from before, and not of --queue-balance {}:{}: given up", number,
               options_.first_queue, options_.last_queue);
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue == number) release_up_to(socket->fd(), number, row.id_sequence, kNfAccept);
  }
}

std::optional<Estate> Supervisor::take_estate(uint16_t queue) {
  const auto found = std::ranges::find(estates_, queue, &Estate::queue);
  if (found == estates_.end()) return std::nullopt;
  Estate out = std::move(*found);
  estates_.erase(found);
  return out;
}

Result<void> Supervisor::adopt_queue(Queue& queue, Estate estate) {
  const uint16_t number = estate.queue;
  auto socket = QueueSocket::adopt(estate[Part::kSocket].release(), number);
  if (!socket) return std::unexpected(socket.error());
  queue.socket = std::move(*socket);
  auto page = SharedMemory::adopt(estate[Part::kPage].release());
  if (!page) return std::unexpected(page.error());
  if (page->size() < sizeof(PageHead) || page->as<PageHead>()->magic != kPageMagic) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("queue {}: what was handed over is no page of fettle's", number));
  }
  const PageHead& head = *page->as<PageHead>();
  const pid_t worker = head.worker.load();
  if (worker > 0 && process_name(worker) == fmt::format("fettle-q{}", number)) {
    queue.former = Descriptor(pidfd_open(worker, 0));
  }
  queue.adopted = true;
  for (const QueueStatus& row : read_queue_status()) {  // what was lost before is told
    if (row.queue == number) queue.seen = row;
  }
  const auto socket_row = find_netlink_socket(queue.socket.port_id());
  queue.seen_socket_drops = socket_row ? socket_row->drops : 0;
  if (continues(*page)) {
    queue.page = std::move(*page);
    queue.slots = adopt_part(estate, Part::kSlots);
    queue.held = adopt_part(estate, Part::kHeld);
    queue.streams = adopt_part(estate, Part::kStreams);
    queue.restarts = queue.shared().restarts;
    queue.full_looks = queue.shared().full_looks;
    queue.quarantined = queue.shared().quarantined;
    if (queue.shared().fingerprint == fingerprint(*program_)) {
      SharedMemory rules = adopt_part(estate, Part::kRules);
      if (rules.size() == counters_size(*program_)) queue.worker.rules = std::move(rules);
      queue.worker.program = program_.get();
    }
  } else {
    queue.former_page = std::move(*page);
  }
  spdlog::info("queue {}: taken over from process {}{}", number, head.supervisor.load(),
               !queue.former_page.data() ? ""
               : head.layout != kPageLayout
                   ? ", of another version: counters and TCP streams begin anew"
               : options_.shadow ? ", which was no shadow: counters and TCP streams begin anew"
                                 : ", a shadow: counters and TCP streams begin anew");
  return {};
}

// What a shadow has counted did not happen, and its streams were never shifted.
bool Supervisor::continues(const SharedMemory& page) const {
  return page.as<PageHead>()->layout == kPageLayout && page.size() >= sizeof(WorkerPage) &&
         (page.as<WorkerPage>()->shadow != 0) == options_.shadow;
}

PageHead& Supervisor::former_head(Queue& queue) {
  return queue.former_page.data() ? *queue.former_page.as<PageHead>() : queue.shared();
}

// The first worker of a queue that another supervisor had.
void Supervisor::succeed(Queue& queue) {
  PageHead& head = former_head(queue);
  head.supervisor.store(getpid());
  if (!queue.former) {
    queue.tell(Order::kRun);
    return start_worker(queue, 'r');
  }
  queue.next = queue.shared().next = queue.settings;
  prepare_succession(queue,
                     fork_worker(queue, *program_, queue.settings, std::move(queue.worker.rules)));
}

void Supervisor::on_former_exit(Queue& queue) {
  const bool clean = former_head(queue).finished.load(std::memory_order_acquire) == 1;
  queue.former = {};
  const SharedMemory page = std::exchange(queue.former_page, {});
  adopt_successor(queue, clean ? 'a' : 'r');
  // The former supervisor waits for this, and looks at its own page.
  if (page.data()) page.as<PageHead>()->worker.store(queue.worker.pid);
}

std::array<int, kParts> Supervisor::parts_of(const Queue& queue) {
  return {queue.socket.fd(), queue.page.fd(),    queue.slots.fd(),
          queue.held.fd(),   queue.streams.fd(), queue.worker.rules.fd()};
}

void Supervisor::store(Queue& queue) {
  const std::array<int, kParts> parts = parts_of(queue);
  for (size_t i = 0; i < kParts; ++i) {
    if (std::exchange(queue.stored[i], parts[i]) == parts[i]) continue;
    service_.store(queue.settings.queue, static_cast<Part>(i), parts[i]);
  }
}

// ---- The other side ----

// What the page says is the worker's to change, and believed only where there is a reason.
bool Supervisor::is_ours(const Queue& queue) const {
  return !hands_over_ || queue.shared().supervisor.load(std::memory_order_acquire) == getpid();
}

Result<void> Supervisor::hand_over(int connection) {
  hands_over_ = true;
  for (const Queue& queue : queues_) {
    auto sent = send_estate(connection, queue.settings.queue, parts_of(queue));
    if (!sent) return sent;
  }
  return send_end(connection);
}

// True: nothing is left to do here.
bool Supervisor::handed_over() {
  if (!hands_over_) return false;
  bool all = true;
  for (Queue& queue : queues_) {
    const pid_t other = queue.shared().supervisor.load(std::memory_order_acquire);
    if (other == getpid()) {
      all = false;
      continue;
    }
    const bool runs = queue.worker.pid <= 0 && queue.shared().worker.load() != queue.last_worker;
    if (runs) continue;
    all = false;
    if (exists(other)) continue;
    spdlog::error("queue {}: process {} took it over and died, taking it back",
                  queue.settings.queue, other);
    queue.shared().supervisor.store(getpid());
    queue.tell(Order::kRun);
    if (queue.worker.pid <= 0) start_worker(queue, 'r');
  }
  if (all) {
    answer_statuses();
    spdlog::info("{}: handed over to process {}", queue_range(),
                 queues_.front().shared().supervisor.load());
  }
  return all;
}

Result<std::vector<Estate>> Supervisor::ask_for_estates(const std::string& path) {
  auto connected = connect_control(path, kPatience);
  if (!connected) {
    return fail(connected.error().code, fmt::format("--takeover: {}", connected.error().message));
  }
  const Descriptor connection(*connected);
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  fcntl(connection.get(), F_SETFL, 0);  // blocking
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request = fmt::format("{}\n", control_command_name(ControlCommand::kTakeover));
  if (send(connection.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return fail(ErrorCode::kUnavailable,
                fmt::format("--takeover: {}: {}", path, std::strerror(errno)));
  }
  return receive_estates(connection.get());
}

}  // namespace fettle
