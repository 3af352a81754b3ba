// The supervisor's queues: how they are bound, or taken over, and with which settings.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <spdlog/spdlog.h>

#include "workers/queue_owner.h"
#include "workers/supervisor.h"
#include "workers/topology.h"

namespace fettle {
namespace {

uint32_t needed_copy_range(const Needs& needs) {
  if (!needs.packets) return 0;
  if (needs.changes || needs.whole) return kMaxReturnedPayload;
  return std::max(needs.depth, 128u);
}

}  // namespace

bool Supervisor::fails_open(const Program& program) const {
  if (options_.shadow) return true;
  const Needs& needs = program.needs();
  return options_.fail_open.value_or(
      needs.overload.value_or(needs.must_change ? Verdict::kDrop : Verdict::kAccept) ==
      Verdict::kAccept);
}

QueueSettings Supervisor::settings_for(uint16_t queue, const Program& program) const {
  const uint32_t range = needed_copy_range(program.needs());
  return {.queue = queue,
          .length = options_.queue_length,
          .copy_range = options_.copy_range.value_or(range),
          .fail_open = fails_open(program),
          .gso = options_.gso,
          .conntrack = options_.conntrack && program.needs().streams};
}

void Supervisor::warn_of_short_copies(const Program& program) const {
  const uint32_t needed = needed_copy_range(program.needs());
  if (!options_.copy_range || *options_.copy_range >= needed) return;
  spdlog::warn(
      "--copy-range {} is less than the {} bytes that the rules need: a packet whose headers are "
      "cut "
      "counts as malformed, and none that is cut is changed",
      *options_.copy_range, needed);
}

Result<void> Supervisor::open_queue(uint16_t number) {
  Queue queue;
  queue.settings = settings_for(number, *program_);
  for (size_t i = 0; i < options_.threads; ++i) {
    const size_t place = queues_.size() * options_.threads + i;
    queue.cpus.push_back(options_.cpus[place % options_.cpus.size()]);
  }
  auto estate = take_estate(number);
  auto opened = estate ? adopt_queue(queue, std::move(*estate)) : bind_queue(queue);
  if (!opened) return opened;
  if (auto locked = sandbox_.lock(queue.socket.fd(), number); !locked) return locked;
  if (!queue.page.data()) {
    auto page = SharedMemory::create(sizeof(WorkerPage), "fettle-page");
    if (!page) return std::unexpected(page.error());
    queue.page = std::move(*page);
    new (queue.page.data()) WorkerPage;
  }
  WorkerPage& page = queue.shared();
  page.next = page.settings = queue.settings;
  if (!queue.adopted) page.supervisor.store(getpid());
  say_settings(queue);
  queues_.push_back(std::move(queue));
  return {};
}

Result<void> Supervisor::bind_queue(Queue& queue) {
  const uint16_t number = queue.settings.queue;
  auto socket = QueueSocket::open(options_.receive_buffer);
  if (!socket) return std::unexpected(socket.error());
  const auto bound = socket->bind(queue.settings);
  if (bound) {
    queue.settings = *bound;
    queue.socket = std::move(*socket);
    return {};
  }
  if (socket->bind_error() != EPERM) return std::unexpected(bound.error());
  auto orphan = orphan_of(number);
  if (!orphan) return std::unexpected(orphan.error());
  if (*orphan) return adopt_queue(queue, std::move(**orphan));
  const std::string owner = queue_owner(number);
  if (owner.empty()) return std::unexpected(bound.error());
  return fail(ErrorCode::kUnavailable,
              fmt::format("queue {} is taken: {} has bound it; give another --queue-balance range, "
                          "--takeover where it is a fettle, or stop that process",
                          number, owner));
}

void Supervisor::say_settings(const Queue& queue) const {
  const QueueSettings& set = queue.settings;
  spdlog::info("queue {}: bound, CPU {}, length {}, {}, {}, receive buffer {} bytes, {}{}",
               set.queue, format_cpu_list(queue.cpus), set.length,
               set.copy_range == 0 ? "metadata only" : fmt::format("copy range {}", set.copy_range),
               set.fail_open ? "fail-open" : "fail-closed", queue.socket.receive_buffer(),
               set.gso ? "GSO" : "no GSO", options_.shadow ? ", shadow" : "");
  if (options_.conntrack && program_->needs().streams && !set.conntrack) {
    spdlog::info(
        "queue {}: this kernel says nothing of its own changes of sequence numbers "
        "(NETFILTER_NETLINK_GLUE_CT): no TCP stream may pass its NAT helpers or SYNPROXY, too",
        set.queue);
  }
  if (queue.socket.receive_buffer() < options_.receive_buffer) {
    spdlog::warn("queue {}: asked for a receive buffer of {} bytes, the kernel gave {}", set.queue,
                 options_.receive_buffer, queue.socket.receive_buffer());
  }
}

}  // namespace fettle
