#include "workers/socket_guard.h"

#include <linux/bpf.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#ifdef __clang__  // libbpf's macros are C
#pragma clang diagnostic ignored "-Wgnu-statement-expression-from-macro-expansion"
#pragma clang diagnostic ignored "-Wc99-extensions"
#pragma clang diagnostic ignored "-Wmissing-designated-field-initializers"
#pragma clang diagnostic ignored "-Wmissing-field-initializers"
#endif

namespace fettle {
namespace {

// Of one send: as many as a batch has packets at most. The verifier follows the loop through all.
constexpr int kMostMessages = 256;

// What is looked at of each message.
struct Head {
  nlmsghdr netlink;
  nfgenmsg netfilter;
};
static_assert(sizeof(Head) == 20);

// Verdict, settings, verdict for a batch: three types in a row.
constexpr int kFirstType = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT;
constexpr int kLastType = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH;
static_assert(NFQNL_MSG_CONFIG == NFQNL_MSG_VERDICT + 1 &&
              NFQNL_MSG_VERDICT_BATCH == NFQNL_MSG_CONFIG + 1);

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorCode::kUnavailable, fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

// Registers of BPF: 0 result, 1 to 5 arguments and lost by a call, 6 to 9 kept, 10 the stack.
enum Register : uint8_t { r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 };
constexpr Register kData = r6, kLeft = r7, kCount = r8, kQueue = r9;
constexpr int16_t kHead = -24;  // on the stack

// A few instructions by name, with labels for the jumps (linux/bpf.h; include/linux/filter.h of the
// kernel has the same as macros).
class Assembler {
 public:
  enum Label : uint8_t { kNext, kPass, kRefuse, kLabels };

  void move(Register to, Register from) { put(BPF_ALU64 | BPF_MOV | BPF_X, to, from); }
  void move(Register to, int value) { put(BPF_ALU64 | BPF_MOV | BPF_K, to, r0, 0, value); }
  void arithmetic(int operation, Register to, Register by) {
    put(BPF_ALU64 | operation | BPF_X, to, by);
  }
  void arithmetic(int operation, Register to, int by) {
    put(BPF_ALU64 | operation | BPF_K, to, r0, 0, by);
  }
  void load(int size, Register to, Register from, int offset) {
    put(BPF_LDX | BPF_MEM | size, to, from, static_cast<int16_t>(offset));
  }
  void call(int helper) { put(BPF_JMP | BPF_CALL, r0, r0, 0, helper); }
  void map(Register to, int fd) {
    put(BPF_LD | BPF_DW | BPF_IMM, to, static_cast<Register>(BPF_PSEUDO_MAP_FD), 0, fd);
    put(0, r0, r0);
  }
  void go(Label to) { jump(BPF_JMP | BPF_JA, r0, r0, 0, to); }
  void if_is(int comparison, Register left, int right, Label to) {
    jump(BPF_JMP | comparison | BPF_K, left, r0, right, to);
  }
  void if_is(int comparison, Register left, Register right, Label to) {
    jump(BPF_JMP | comparison | BPF_X, left, right, 0, to);
  }
  void label(Label here) { places_[here] = code_.size(); }
  void leave(int result) {
    move(r0, result);
    put(BPF_JMP | BPF_EXIT, r0, r0);
  }
  std::vector<bpf_insn> finish() {
    for (const auto& [at, label] : jumps_) {
      code_[at].off = static_cast<int16_t>(places_[label] - at - 1);
    }
    return std::move(code_);
  }

 private:
  void put(int code, Register to, Register from, int16_t offset = 0, int value = 0) {
    code_.push_back({.code = static_cast<uint8_t>(code),
                     .dst_reg = static_cast<uint8_t>(to & 15),
                     .src_reg = static_cast<uint8_t>(from & 15),
                     .off = offset,
                     .imm = value});
  }
  void jump(int code, Register left, Register right, int value, Label to) {
    jumps_.emplace_back(code_.size(), to);
    put(code, left, right, 0, value);
  }

  std::vector<bpf_insn> code_;
  std::vector<std::pair<size_t, Label>> jumps_;
  std::array<size_t, kLabels> places_{};
};

// Where the kernel that runs keeps what is read of a struct sk_buff.
struct BufferOffsets {
  int data = 0, length = 0;
};

// int netlink_send(struct sock *sk, struct sk_buff *skb): 0, or -EPERM for what the lock refuses.
// Takes the messages as netlink_rcv_skb() does (net/netlink/af_netlink.c).
std::vector<bpf_insn> guard_program(int map_fd, const BufferOffsets& offsets) {
  using A = Assembler;
  A a;
  a.load(BPF_DW, r2, r1, 0);     // sk
  a.load(BPF_DW, kData, r1, 8);  // skb
  a.map(r1, map_fd);
  a.move(r3, 0);
  a.move(r4, 0);
  a.call(BPF_FUNC_sk_storage_get);
  a.if_is(BPF_JEQ, r0, 0, A::kPass);  // not locked
  a.load(BPF_W, kQueue, r0, 0);
  a.load(BPF_W, kLeft, kData, offsets.length);
  a.load(BPF_DW, kData, kData, offsets.data);
  a.move(kCount, 0);

  a.label(A::kNext);
  a.if_is(BPF_JEQ, kLeft, 0, A::kPass);
  a.if_is(BPF_JGE, kCount, kMostMessages, A::kRefuse);
  a.arithmetic(BPF_ADD, kCount, 1);
  a.if_is(BPF_JLT, kLeft, static_cast<int>(sizeof(Head)), A::kRefuse);
  a.move(r1, r10);
  a.arithmetic(BPF_ADD, r1, kHead);
  a.move(r2, static_cast<int>(sizeof(Head)));
  a.move(r3, kData);
  a.call(BPF_FUNC_probe_read_kernel);
  a.if_is(BPF_JNE, r0, 0, A::kRefuse);
  a.load(BPF_H, r1, r10, kHead + static_cast<int>(offsetof(Head, netfilter.res_id)));
  a.if_is(BPF_JNE, r1, kQueue, A::kRefuse);
  a.load(BPF_H, r1, r10, kHead + static_cast<int>(offsetof(nlmsghdr, nlmsg_type)));
  a.arithmetic(BPF_SUB, r1, kFirstType);
  a.if_is(BPF_JGT, r1, kLastType - kFirstType, A::kRefuse);
  a.load(BPF_W, r1, r10, kHead + static_cast<int>(offsetof(nlmsghdr, nlmsg_len)));
  a.if_is(BPF_JLT, r1, static_cast<int>(sizeof(Head)), A::kRefuse);
  a.if_is(BPF_JGT, r1, kLeft, A::kRefuse);
  a.arithmetic(BPF_ADD, r1, NLMSG_ALIGNTO - 1);
  a.arithmetic(BPF_AND, r1, ~(static_cast<int>(NLMSG_ALIGNTO) - 1));
  a.if_is(BPF_JGE, r1, kLeft, A::kPass);  // it was the last
  a.arithmetic(BPF_SUB, kLeft, r1);
  a.arithmetic(BPF_ADD, kData, r1);
  a.go(A::kNext);

  a.label(A::kRefuse);
  a.leave(-EPERM);
  a.label(A::kPass);
  a.leave(0);
  return a.finish();
}

using Btf = std::unique_ptr<btf, void (*)(btf*)>;

std::optional<BufferOffsets> find_offsets(const btf* kernel) {
  const int id = btf__find_by_name_kind(kernel, "sk_buff", BTF_KIND_STRUCT);
  const btf_type* type = id < 0 ? nullptr : btf__type_by_id(kernel, static_cast<uint32_t>(id));
  if (type == nullptr) return std::nullopt;
  std::optional<int> data, length;
  for (uint32_t i = 0; i < btf_vlen(type); ++i) {
    const char* name = btf__name_by_offset(kernel, btf_members(type)[i].name_off);
    const auto offset = static_cast<int>(btf_member_bit_offset(type, i) / 8);
    if (std::strcmp(name, "data") == 0) data = offset;
    if (std::strcmp(name, "len") == 0) length = offset;
  }
  if (!data || !length) return std::nullopt;
  return BufferOffsets{.data = *data, .length = *length};
}

// A socket's storage wants to be told the types of its key and its value.
int make_map() {
  const Btf types(btf__new_empty(), btf__free);
  if (!types) return -1;
  const int number = btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED);
  if (number < 0 || btf__load_into_kernel(types.get()) != 0) return -1;
  LIBBPF_OPTS(bpf_map_create_opts, options, .btf_fd = static_cast<uint32_t>(btf__fd(types.get())),
              .btf_key_type_id = static_cast<uint32_t>(number),
              .btf_value_type_id = static_cast<uint32_t>(number), .map_flags = BPF_F_NO_PREALLOC);
  return bpf_map_create(BPF_MAP_TYPE_SK_STORAGE, "fettle_queue", sizeof(int), sizeof(uint32_t), 0,
                        &options);
}

}  // namespace

Result<SocketGuard> SocketGuard::create() {
  libbpf_set_print(nullptr);
  const Btf kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel) return failed("read the kernel's types (/sys/kernel/btf/vmlinux)");
  const int hook = btf__find_by_name_kind(kernel.get(), "bpf_lsm_netlink_send", BTF_KIND_FUNC);
  const auto offsets = find_offsets(kernel.get());
  if (hook < 0 || !offsets) return fail(ErrorCode::kUnavailable, "this kernel has no BPF LSM");
  SocketGuard out;
  out.map_fd_ = make_map();
  if (out.map_fd_ < 0) return failed("make a map of sockets (BPF)");
  const std::vector<bpf_insn> program = guard_program(out.map_fd_, *offsets);
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_LSM_MAC,
              .attach_btf_id = static_cast<uint32_t>(hook));
  const int loaded = bpf_prog_load(BPF_PROG_TYPE_LSM, "fettle_guard", "GPL", program.data(),
                                   program.size(), &options);
  if (loaded < 0) return failed("load a BPF program");
  out.link_fd_ = bpf_raw_tracepoint_open(nullptr, loaded);
  const int error = errno;
  close(loaded);
  errno = error;
  if (out.link_fd_ < 0) return failed("attach a BPF program");
  const int trial = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (trial < 0) return failed("open a netfilter socket");
  const auto locked = out.lock(trial, 0);
  close(trial);
  if (!locked) return std::unexpected(locked.error());
  return out;
}

Result<void> SocketGuard::lock(int queue_fd, uint16_t queue) const {
  const uint32_t value = std::endian::native == std::endian::little ? std::byteswap(queue) : queue;
  if (bpf_map_update_elem(map_fd_, &queue_fd, &value, BPF_ANY) != 0) return failed("mark a socket");
  const nlmsghdr nothing{.nlmsg_len = sizeof nothing,
                         .nlmsg_type = NLMSG_NOOP,
                         .nlmsg_flags = 0,
                         .nlmsg_seq = 0,
                         .nlmsg_pid = 0};
  if (send(queue_fd, &nothing, sizeof nothing, 0) < 0 && errno == EPERM) return {};
  return fail(ErrorCode::kUnavailable,
              "a BPF program is not in force: this kernel runs without BPF LSM (lsm= at boot)");
}

SocketGuard& SocketGuard::operator=(SocketGuard&& other) noexcept {
  std::swap(map_fd_, other.map_fd_);
  std::swap(link_fd_, other.link_fd_);
  return *this;
}

SocketGuard::~SocketGuard() {
  if (map_fd_ >= 0) close(map_fd_);
  if (link_fd_ >= 0) close(link_fd_);
}

}  // namespace fettle
