// fettle sniff: packets of a queue or a capture, decoded.
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
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
#include "workers/standard_streams.h"

namespace fettle {
namespace {

struct SniffFlags {
  std::string input;
  std::optional<uint16_t> queue;
  int64_t count = 0;  // 0: to the end
  bool wants(uint64_t shown) const { return count == 0 || shown < static_cast<uint64_t>(count); }
};

volatile sig_atomic_t g_stop = 0;

std::string time_text(uint64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:09}", fmt::gmtime(seconds), time_ns % 1'000'000'000);
}

// Bytes alone: a packet of which nothing is known has no headers to decode.
std::string plain_dump(std::span<std::byte> frame) {
  const auto size = static_cast<uint32_t>(frame.size());
  return decoded_dump(Packet{
      .data = frame.data(), .size = size, .length = size, .stop = ParseStop::kUnknownTransport});
}

std::string text_of(const Record& record, uint64_t number) {
  const auto network = network_layer(record.link_type, record.frame);
  return fmt::format(
      "packet {}, {}, {} of {} bytes, link type {}\n{}\n", number, time_text(record.time_ns),
      record.frame.size(), record.original, record.link_type,
      network ? decoded_dump(parse(*network)) : "not IP\n" + plain_dump(record.frame));
}

Result<void> sniff_capture(const SniffFlags& flags) {
  auto reader = CaptureReader::open(flags.input);
  if (!reader) return std::unexpected(reader.error());
  CapturePiece piece;
  Result<void> done;
  for (uint64_t shown = 0; done && flags.wants(shown) && !reader->damage();) {
    done = reader->read(&piece);
    if (!done || piece.records.empty()) break;
    for (const Record& record : piece.records) {
      if (record.frame.data() == nullptr || !flags.wants(shown)) continue;
      if (auto printed = print_out(text_of(record, ++shown)); !printed) return printed;
    }
    // What a pipe brought is shown before the wait for more.
    if (!reader->size()) done = flush_out();
  }
  const auto flushed = flush_out();
  if (!done) return done;
  return reader->damage() ? std::unexpected(*reader->damage()) : flushed;
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

// Answers every packet, and shows those that are wanted.
class QueueSniffer {
 public:
  QueueSniffer(const SniffFlags& flags, QueueSocket socket)
      : flags_(flags), queue_(*flags.queue), socket_(std::move(socket)) {
    const timeval patience{.tv_sec = 0, .tv_usec = 100'000};  // a signal before the wait costs this
    setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  Result<void> run() {
    Result<void> done;
    for (std::vector<std::byte>& datagram : socket_.take_early_datagrams()) {
      if (auto taken = take(datagram, done.has_value()); !taken) done = taken;
    }
    while (done && !g_stop && flags_.wants(shown_)) done = turn(true);
    const Result<void> left = leave();
    return done ? left : done;
  }

 private:
  static constexpr uint32_t kLeaveSequence = 2;
  static constexpr std::chrono::seconds kLongestLeave{2};

  // Closing the socket drops what the queue holds. Its length is set to 0, so that new packets
  // pass it (fail-open), and the acknowledgement comes behind all that was queued before.
  Result<void> leave() {
    if (auto sent = send_settings(socket_.fd(), {.queue = queue_, .length = 0}, kLeaveSequence);
        !sent) {
      return sent;
    }
    const auto deadline = std::chrono::steady_clock::now() + kLongestLeave;
    while (!left_ && std::chrono::steady_clock::now() < deadline) {
      if (auto taken = turn(false); !taken) return taken;
    }
    return {};
  }

  Result<void> turn(bool show) {
    const ssize_t got = recv(socket_.fd(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    if (got <= 0) return failed("read");
    return take({buffer_.data(), static_cast<size_t>(got)}, show);
  }

  Result<void> take(std::span<std::byte> datagram, bool show) {
    const Message message = decode(datagram);
    const bool answer = message.kind == MessageKind::kAck || message.kind == MessageKind::kError;
    left_ = left_ || (answer && message.sequence == kLeaveSequence);
    if (!message.packet.has_id) return {};
    // First the verdict: the packet shall not wait for whoever reads what is shown.
    std::byte verdict[kMaxVerdictHead];
    const size_t size = encode_verdict(verdict, queue_, {.id = message.packet.id});
    if (send(socket_.fd(), verdict, size, 0) < 0) return failed("answer");
    if (!show || !flags_.wants(shown_)) return {};
    auto printed = print_out(text_of(message.packet));
    return printed ? flush_out() : printed;
  }

  std::string text_of(const QueuedPacket& packet) {
    std::string out =
        fmt::format("packet {}, id {}, hook {}", ++shown_, packet.id, to_string(packet.hook));
    if (packet.in_index) out += fmt::format(", in {}", interfaces_.name(packet.in_index).data());
    if (packet.out_index) out += fmt::format(", out {}", interfaces_.name(packet.out_index).data());
    if (packet.mark) out += fmt::format(", mark {:#x}", packet.mark);
    return out + fmt::format("\n{}\n", decoded_dump(parse(packet.payload)));
  }

  std::unexpected<Error> failed(const char* what) const {
    return fail(ErrorCode::kIo,
                fmt::format("cannot {} queue {}: {}", what, queue_, std::strerror(errno)));
  }

  const SniffFlags& flags_;
  uint16_t queue_;
  QueueSocket socket_;
  Interfaces interfaces_{socket_.fd()};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(0x11000);  // 64 KiB and attributes
  uint64_t shown_ = 0;
  bool left_ = false;
};

Result<void> sniff_queue(const SniffFlags& flags) {
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);
  auto socket = open_queue(*flags.queue);
  if (!socket) return std::unexpected(socket.error());
  return QueueSniffer(flags, std::move(*socket)).run();
}

int sniff(const SniffFlags& flags) {
  if (flags.queue.has_value() == !flags.input.empty()) {
    return report({ErrorCode::kUsage, "sniff: expected a capture or --queue, one of the two"});
  }
  const auto done = flags.queue ? sniff_queue(flags) : sniff_capture(flags);
  return done ? EX_OK : report(done.error());
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
      ->check(CLI::Range(int64_t{1}, INT64_MAX - 1))
      ->option_text("N");
  command->footer("Examples:\n  fettle sniff in.pcap\n  fettle sniff --queue 0 --count 1\n");
  command->callback([flags, exit_code] { *exit_code = sniff(*flags); });
}

}  // namespace fettle
