#include "workers/estate.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "core/nfqueue.h"
#include "core/shared_memory.h"
#include "workers/control_answer.h"
#include "workers/heritage.h"
#include "workers/pidfd.h"
#include "workers/queue_owner.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongest = 4096;
constexpr std::string_view kEnd = "end\n";
constexpr std::array kNames{"socket", "page", "slots", "held", "streams", "rules"};
static_assert(kNames.size() == kParts);

Result<void> send_message(int connection, std::string_view text, std::span<const int> fds) {
  iovec vector{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kParts)> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  if (sendmsg(connection, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())) return {};
  return fail(ErrorCode::kIo,
              fmt::format("cannot hand descriptors over: {}", std::strerror(errno)));
}

struct Received {
  std::string text;  // one line
  std::vector<Descriptor> fds;
};

// Byte by byte, so that what is read ends where a message does: descriptors come with its first.
Result<Received> receive_message(int connection) {
  Received out;
  while (out.text.empty() || out.text.back() != '\n') {
    char letter = 0;
    iovec vector{.iov_base = &letter, .iov_len = 1};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * kParts)> control{};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    for (cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr; header;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        out.fds.emplace_back(fd);
      }
    }
    if (got == 0 && out.text.starts_with('{')) {  // an answer of the control socket's: refused
      const auto answer = parse_control_answer(out.text);
      if (answer) return fail(ErrorCode::kUnavailable, "--takeover: " + answer->message);
    }
    if (got <= 0 || out.text.size() >= kLongest) {
      return fail(
          ErrorCode::kUnavailable,
          fmt::format("the running fettle hands its queues over, but after \"{}\": {}", out.text,
                      got == 0  ? "end of file"
                      : got < 0 ? std::strerror(errno)
                                : "no end of the line"));
    }
    out.text += letter;
  }
  return out;
}

Result<Estate> parse(Received& message) {
  std::string_view text = message.text;
  const auto refuse = [&message] {
    return fail(ErrorCode::kUnavailable,
                fmt::format("the running fettle hands its queues over, but with {} descriptors it "
                            "says \"{}\", expected \"queue 3: socket page slots\" or the like",
                            message.fds.size(), message.text.substr(0, message.text.size() - 1)));
  };
  constexpr std::string_view kQueue = "queue ";
  Estate out;
  if (!text.starts_with(kQueue)) return refuse();
  text.remove_prefix(kQueue.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.queue);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (error != std::errc{} || !text.starts_with(':')) return refuse();
  text = text.substr(1, text.size() - 2);
  for (Descriptor& fd : message.fds) {
    const std::string_view name = text.substr(0, text.find(' ', 1));
    text.remove_prefix(name.size());
    size_t part = 0;
    while (part < kParts && name.substr(name.size() > 0 ? 1 : 0) != kNames[part]) ++part;
    if (part == kParts || out.parts[part]) return refuse();
    out.parts[part] = std::move(fd);
  }
  if (!text.empty() || !out[Part::kSocket] || !out[Part::kPage]) return refuse();
  return out;
}

// Process ids in the page may be those of another namespace; a parent's name is not.
bool has_supervisor(int worker, const PageHead& head) {
  const int parent = parent_of(worker);
  return parent == head.supervisor.load() || process_name(parent) == "fettle";
}

// The descriptors of a process whose names tell what they are.
Result<Estate> estate_of(int pid, uint16_t queue, uint64_t socket_inode) {
  Estate out;
  out.queue = queue;
  const Descriptor process(pidfd_open(pid, 0));
  std::error_code ignored;
  for (const auto& open : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), ignored)) {
    const std::string target = fs::read_symlink(open.path(), ignored).string();
    const std::string number = open.path().filename().string();
    int fd = -1;
    std::from_chars(number.data(), number.data() + number.size(), fd);
    for (size_t part = 0; part < kParts; ++part) {
      const std::string wanted = part == static_cast<size_t>(Part::kSocket)
                                     ? fmt::format("socket:[{}]", socket_inode)
                                     : fmt::format("/memfd:fettle-{} (deleted)", kNames[part]);
      if (target != wanted || out.parts[part]) continue;
      out.parts[part] = Descriptor(pidfd_getfd(process.get(), fd, 0));
      if (out.parts[part]) continue;
      return fail(ErrorCode::kNoPermission,
                  fmt::format("queue {}: worker {} goes on without its supervisor, and its "
                              "descriptors cannot be had: {}; CAP_SYS_PTRACE is needed, or end it",
                              queue, pid, std::strerror(errno)));
    }
  }
  return out;
}

}  // namespace

const char* to_string(Part part) { return kNames[static_cast<size_t>(part)]; }

Result<void> send_estate(int connection, uint16_t queue, const std::array<int, kParts>& parts) {
  std::string text = fmt::format("queue {}:", queue);
  std::vector<int> fds;
  for (size_t part = 0; part < kParts; ++part) {
    if (parts[part] < 0) continue;
    text += fmt::format(" {}", kNames[part]);
    fds.push_back(parts[part]);
  }
  text += '\n';
  return send_message(connection, text, fds);
}

Result<void> send_end(int connection) { return send_message(connection, kEnd, {}); }

Result<std::vector<Estate>> receive_estates(int connection) {
  std::vector<Estate> out;
  for (;;) {
    auto message = receive_message(connection);
    if (!message) return std::unexpected(message.error());
    if (message->text == kEnd) return out;
    auto estate = parse(*message);
    if (!estate) return std::unexpected(estate.error());
    out.push_back(std::move(*estate));
  }
}

Result<std::optional<Estate>> orphan_of(uint16_t queue) {
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue != queue) continue;
    const auto socket = find_netlink_socket(row.port_id);
    for (const int pid : socket ? socket_holders(socket->inode) : std::vector<int>()) {
      if (process_name(pid) != fmt::format("fettle-q{}", queue)) continue;
      auto estate = estate_of(pid, queue, socket->inode);
      if (!estate) return std::unexpected(estate.error());
      if (!(*estate)[Part::kSocket] || !(*estate)[Part::kPage]) continue;
      const auto page = SharedMemory::adopt((*estate)[Part::kPage].release());
      if (!page || page->size() < sizeof(PageHead)) continue;
      const auto* head = page->as<PageHead>();
      if (head->magic != kPageMagic || has_supervisor(pid, *head)) continue;
      (*estate)[Part::kPage] = Descriptor(fcntl(page->fd(), F_DUPFD_CLOEXEC, 0));
      return std::optional<Estate>(std::move(*estate));
    }
  }
  return std::optional<Estate>();
}

}  // namespace fettle
