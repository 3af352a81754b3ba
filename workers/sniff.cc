// fettle sniff: packets of a queue or a capture, decoded.
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "core/capture.h"
#include "core/describe.h"
#include "core/link_layer.h"
#include "core/nfqueue.h"
#include "workers/commands.h"
#include "workers/interfaces.h"
#include "workers/queue_owner.h"

namespace fettle {
namespace {

struct SniffFlags {
  std::string input;
  std::optional<uint16_t> queue;
  uint64_t count = 0;  // 0: to the end
};

volatile sig_atomic_t g_stop = 0;

std::string time_text(uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:09}", fmt::gmtime(seconds), time_ns % 1'000'000'000);
}

int sniff_capture(const SniffFlags& flags) {
  auto reader = CaptureReader::open(flags.input);
  if (!reader) return report(reader.error());
  uint64_t number = 0;
  while (!g_stop && (flags.count == 0 || number < flags.count)) {
    const auto record = reader->next();
    if (!record) return report(record.error());
    if (!*record) break;
    if ((*record)->frame.data() == nullptr) continue;
    ++number;
    fmt::print("packet {}, {}, {} of {} bytes, link type {}\n", number,
               time_text((*record)->time_ns), (*record)->frame.size(), (*record)->original,
               (*record)->link_type);
    const auto network = network_layer((*record)->link_type, (*record)->frame);
    fmt::print("{}\n", network ? decoded_dump(parse(*network)) : "  not IP\n");
  }
  return EX_OK;
}

Result<QueueSocket> open_queue(uint16_t queue) {
  auto socket = QueueSocket::open(16 << 20);
  if (!socket) return socket;
  if (auto bound = socket->bind({.queue = queue}); !bound) {
    const std::string owner = queue_owner(queue);
    if (owner.empty()) return std::unexpected(bound.error());
    return fail(ErrorCode::kUnavailable,
                fmt::format("queue {} is taken: {} has bound it", queue, owner));
  }
  return socket;
}

void show(const Message& message, uint64_t number, Interfaces& interfaces) {
  const QueuedPacket& packet = message.packet;
  fmt::print("packet {}, id {}, hook {}", number, packet.id, to_string(packet.hook));
  if (packet.in_index) fmt::print(", in {}", interfaces.name(packet.in_index).data());
  if (packet.out_index) fmt::print(", out {}", interfaces.name(packet.out_index).data());
  if (packet.mark) fmt::print(", mark {:#x}", packet.mark);
  fmt::print("\n{}\n", decoded_dump(parse(packet.payload)));
}

int sniff_queue(const SniffFlags& flags) {
  auto socket = open_queue(*flags.queue);
  if (!socket) return report(socket.error());
  const timeval forever{};
  setsockopt(socket->fd(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  Interfaces interfaces;
  std::vector<std::byte> buffer(0x11000);
  for (uint64_t number = 0; !g_stop && (flags.count == 0 || number < flags.count);) {
    const ssize_t got = recv(socket->fd(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return report({ErrorCode::kIo,
                     fmt::format("cannot read queue {}: {}", *flags.queue, std::strerror(errno))});
    }
    std::span<std::byte> datagram(buffer.data(), static_cast<size_t>(got));
    const Message message = decode(datagram);
    if (!message.packet.has_id) continue;
    show(message, ++number, interfaces);
    std::byte verdict[kMaxVerdictHead];
    const size_t size = encode_verdict(verdict, *flags.queue, {.id = message.packet.id});
    if (send(socket->fd(), verdict, size, 0) < 0) {
      return report({ErrorCode::kIo, fmt::format("cannot answer queue {}: {}", *flags.queue,
                                                 std::strerror(errno))});
    }
    std::fflush(stdout);
  }
  return EX_OK;
}

int sniff(const SniffFlags& flags) {
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  if (flags.queue.has_value() == !flags.input.empty()) {
    return report({ErrorCode::kUsage, "sniff: expected a capture or --queue, one of the two"});
  }
  return flags.queue ? sniff_queue(flags) : sniff_capture(flags);
}

}  // namespace

void add_sniff_command(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<SniffFlags>();
  CLI::App* command = app.add_subcommand("sniff", "Print packets of a queue or a capture, decoded");
  command->add_option("IN", flags->input, "A pcap or pcapng file; - is standard input")
      ->option_text(" ");
  command->add_option("--queue", flags->queue, "A queue; its packets are accepted unchanged")
      ->option_text("N");
  command->add_option("--count", flags->count, "Packets to print, then end (default: all)")
      ->option_text("N");
  command->footer("Examples:\n  fettle sniff in.pcap\n  fettle sniff --queue 0 --count 1\n");
  command->callback([flags, exit_code] { *exit_code = sniff(*flags); });
}

}  // namespace fettle
