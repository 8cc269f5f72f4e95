/* roundtable-worker: one worker process. */

int main(void) {
        return 1;
}
