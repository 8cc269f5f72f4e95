#pragma once

/* The lock operations as Lua (design, section 5). Each is atomic and takes the time from the server. */

#include "common/redis.h"

extern const RedisScript lock_script_take, lock_script_renew, lock_script_end, lock_script_undo, lock_script_clear_dead,
        lock_script_pause, lock_script_resume, lock_script_keep_paused, lock_script_status;
