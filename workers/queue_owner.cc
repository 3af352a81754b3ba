#include "workers/queue_owner.h"

#include <linux/netlink.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include <fmt/format.h>

#include "core/nfqueue.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

std::string read_all(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::vector<int> socket_holders(uint64_t inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::vector<int> out;
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string name = process.path().filename().string();
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) continue;
    for (const auto& open : fs::directory_iterator(process.path() / "fd", ignored)) {
      if (fs::read_symlink(open.path(), ignored) != wanted) continue;
      out.push_back(pid);
      break;
    }
  }
  return out;
}

std::string process_name(int pid) {
  std::string name = read_all(fmt::format("/proc/{}/comm", pid));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

int parent_of(int pid) {
  const std::string text = read_all(fmt::format("/proc/{}/status", pid));
  constexpr std::string_view kParent = "\nPPid:\t";
  const size_t at = text.find(kParent);
  int parent = 0;
  if (at != text.npos) {
    std::from_chars(text.data() + at + kParent.size(), text.data() + text.size(), parent);
  }
  return parent;
}

std::optional<NetlinkSocket> find_netlink_socket(std::string_view text, uint32_t port_id) {
  std::istringstream lines{std::string(text)};
  std::string line;
  std::getline(lines, line);  // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
  while (std::getline(lines, line)) {
    std::istringstream row(line);
    std::string socket, groups, rmem, wmem, dump, locks;
    int protocol = 0;
    uint32_t port = 0;
    NetlinkSocket found;
    row >> socket >> protocol >> port >> groups >> rmem >> wmem >> dump >> locks >> found.drops >>
        found.inode;
    if (row && protocol == NETLINK_NETFILTER && port == port_id) return found;
  }
  return std::nullopt;
}

std::optional<NetlinkSocket> find_netlink_socket(uint32_t port_id) {
  return find_netlink_socket(read_all("/proc/net/netlink"), port_id);
}

std::string queue_owner(uint16_t queue) {
  for (const QueueStatus& row : read_queue_status()) {
    if (row.queue != queue) continue;
    const auto socket = find_netlink_socket(row.port_id);
    std::string out;
    for (const int pid : socket ? socket_holders(socket->inode) : std::vector<int>()) {
      out += fmt::format("{}{} (process {})", out.empty() ? "" : ", ", process_name(pid), pid);
    }
    return out.empty() ? fmt::format("a process not visible here (netlink port {})", row.port_id)
                       : out;
  }
  return "";
}

}  // namespace fettle
