// Order between threads that ThreadSanitizer does not see, since a library makes it that is built
// without (TBB's task groups and pipelines). Says it to the sanitizer, and is nothing without.
//
// Source: compiler-rt, lib/tsan/rtl/tsan_interface.h.
#pragma once

#ifdef FETTLE_SANITIZE_THREAD
extern "C" void __tsan_acquire(void* at);
extern "C" void __tsan_release(void* at);
#endif

namespace fettle {

// What this thread has done up to here is seen by whoever takes over at the same address later.
inline void hand_over([[maybe_unused]] void* at) noexcept {
#ifdef FETTLE_SANITIZE_THREAD
  __tsan_release(at);
#endif
}
inline void take_over([[maybe_unused]] void* at) noexcept {
#ifdef FETTLE_SANITIZE_THREAD
  __tsan_acquire(at);
#endif
}

// This thread has what is there to itself for a while, as the library sees to.
class Turn {
 public:
  explicit Turn(void* at) noexcept : at_(at) { take_over(at_); }
  ~Turn() { hand_over(at_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  void* at_;
};

}  // namespace fettle
