#pragma once

/* MESSAGE_ID of every record an operator may look up with `journalctl -x`; units/roundtable.catalog has a text for each
 * (a test compares the two). Made with `systemd-id128 new`. */

#define MESSAGE_SUPERVISOR_STARTED "8f3c5d1e0b7a4e62b1d94c6fa27e3001"
#define MESSAGE_WORKER_READY "8f3c5d1e0b7a4e62b1d94c6fa27e3002"
#define MESSAGE_WORKER_DIED "8f3c5d1e0b7a4e62b1d94c6fa27e3003"
#define MESSAGE_WORKER_HUNG "8f3c5d1e0b7a4e62b1d94c6fa27e3004"
#define MESSAGE_WORKER_GIVEN_UP "8f3c5d1e0b7a4e62b1d94c6fa27e3005"
#define MESSAGE_TASK_FINISHED "8f3c5d1e0b7a4e62b1d94c6fa27e3006"
#define MESSAGE_TASK_QUARANTINED "8f3c5d1e0b7a4e62b1d94c6fa27e3007"
#define MESSAGE_RELOADED "8f3c5d1e0b7a4e62b1d94c6fa27e3008"
#define MESSAGE_RELOAD_FAILED "8f3c5d1e0b7a4e62b1d94c6fa27e3009"
#define MESSAGE_CONFIG_INVALID "8f3c5d1e0b7a4e62b1d94c6fa27e300a"
#define MESSAGE_SERVER_LOST "8f3c5d1e0b7a4e62b1d94c6fa27e300b"
#define MESSAGE_SERVER_BACK "8f3c5d1e0b7a4e62b1d94c6fa27e300c"
#define MESSAGE_LOCK_LOST "8f3c5d1e0b7a4e62b1d94c6fa27e300d"
#define MESSAGE_CONTROL_CHANGE "8f3c5d1e0b7a4e62b1d94c6fa27e300e"
#define MESSAGE_STOPPED "8f3c5d1e0b7a4e62b1d94c6fa27e300f"
#define MESSAGE_TASK_ITEM "8f3c5d1e0b7a4e62b1d94c6fa27e3010"
#define MESSAGE_TASK_PAUSED "8f3c5d1e0b7a4e62b1d94c6fa27e3011"
#define MESSAGE_TASK_PROGRESS "8f3c5d1e0b7a4e62b1d94c6fa27e3012"
