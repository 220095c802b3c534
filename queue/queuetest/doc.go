// Package queuetest is for tests: helpers for those of applications, and [TestEngine], which every engine has to pass.
//
// The helpers stand over a broker in memory, which opens in microseconds, needs no cleaning up and works inside a testing/synctest bubble, where
// a retry in a minute takes no time. They report to the test that they were given and need nothing else. What a program
// does when its process or its machine dies they do not show: packages under storage test that.
package queuetest
