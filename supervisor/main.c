/* roundtable: the supervisor and the command line. */

int main(void) {
        return 1;
}
